"""Storing lines in batches. A batch is one transaction: COPY into a temporary table, then new accounts into ``users``.

A batch is stored whole or not at all, so a killed import has stored a number of batches. The same import again finds
their accounts: by id, or for a line without an id by its exact e-mail address and username. If PostgreSQL refuses a
batch, the importer halves it until it finds the line that is the cause. It writes relations after the commit, and a
repeated import writes them again. If SpiceDB does not accept them, the relay writes them. Problems are reported in the
order of the lines.

Two installations have each made a first administrator, usually with the same e-mail address: the same person under two
ids (background.accounts.transfer.administrators). That line is no error. The import leaves it out. With ``update`` it
replaces the administrator here.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self

import psycopg
from psycopg.rows import DictRow

from background.accounts.administration import OPERATOR
from background.accounts.transfer import administrators
from background.accounts.transfer.line import Line
from background.repository import transfer
from users.errors import Unavailable
from users.models import Role, Status, User
from users.peers import spicedb
from users.rules import outbox_records
from users.settings import settings
from users.steps.granting import settle

BATCH = 1000
_RELATIONS = 500  # accounts in one call: SpiceDB takes 1000 relations

OnConflict = Literal["skip", "update", "fail"]

_MESSAGES = {
    "exists": "the account exists already",
    "email_taken": "another account has this e-mail address, perhaps in other letter case",
    "username_taken": "another account has this username, perhaps in other letter case",
    "protected": "the account is an enabled administrator that would lose its rights, or is being removed",
}


_ADMINISTRATORS_USERNAME = (
    "this installation's own administrator has this username, with another e-mail address; --on-conflict update"
    " replaces it by the administrator of the file"
)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not stored: its number in the file, a stable code, and a reason without personal data."""

    number: int
    error: str
    message: str


class Stopped(Exception):
    """``--on-conflict fail`` met an existing account. The batch of ``line`` was not stored."""

    def __init__(self, line: BadLine) -> None:
        super().__init__(f"line {line.number}: {line.message}")
        self.line = line


@dataclass(slots=True)
class Counts:
    """The results of the lines so far."""

    imported: int = 0
    updated: int = 0
    existing: int = 0
    failed: int = 0
    relations_left: int = 0


@dataclass(slots=True)
class _Batch:
    """The results of a transaction. They count after its commit."""

    stored: dict[str, int | None] = field(default_factory=dict)  # id: role, None where it is being removed
    updated: dict[str, int | None] = field(default_factory=dict)
    existing: dict[str, int | None] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)
    administrators_left: list[int] = field(default_factory=list)


class Importer:
    """A context manager with one connection that stores batches. psycopg.Error when the database goes away."""

    def __init__(
        self, *, on_conflict: OnConflict, events: bool, dry_run: bool, report: Callable[[BadLine], None]
    ) -> None:
        """Take the options. ``report`` is called for each line that was not stored, after its batch."""
        self.counts = Counts()
        self._on_conflict = on_conflict
        self._events = events
        self._dry_run = dry_run
        self._report = report
        self._relations = bool(settings().spicedb_host) and not dry_run
        self._policy_store_is_up = True
        self._bad: list[BadLine] = []
        self._connection: transfer.Connection
        # The numbers of lines that were left out in favour of this installation's own administrator.
        self.administrators_left: list[int] = []

    def __enter__(self) -> Self:
        """Connect."""
        self._connection = transfer.connect_for_import(dry_run=self._dry_run)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Close the connection. An unfinished batch is not stored."""
        self._connection.close()

    def refuse(self, bad: BadLine) -> None:
        """Count a line that cannot be stored. It is reported with those of its batch."""
        self.counts.failed += 1
        self._bad.append(bad)

    def store(self, lines: Sequence[Line]) -> None:
        """Store a batch, and report problems. Stopped when an existing account must end the import."""
        try:
            self._store_or_halve(lines)
        finally:
            for bad in sorted(self._bad, key=lambda bad: bad.number):
                self._report(bad)
            self._bad.clear()

    def _store_or_halve(self, lines: Sequence[Line]) -> None:
        if not lines:
            return
        try:
            with self._connection.transaction():
                batch = self._store(lines)
        except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded) as error:
            if len(lines) == 1:
                self.refuse(_refused(lines[0], error))
                return
            middle = len(lines) // 2
            self._store_or_halve(lines[:middle])
            self._store_or_halve(lines[middle:])
            return
        self.counts.imported += len(batch.stored)
        self.counts.updated += len(batch.updated)
        self.counts.existing += len(batch.existing)
        self.administrators_left += batch.administrators_left
        for bad in batch.bad:
            self.refuse(bad)
        if self._relations:
            self._relate(batch.existing | batch.stored | batch.updated)

    def _store(self, lines: Sequence[Line]) -> _Batch:
        """Stage the lines, update and insert accounts, and find the reasons for the other lines."""
        staged = [_staged(line) for line in lines]
        transfer.stage(self._connection, staged)
        batch, updated = _Batch(), list[int]()
        if self._on_conflict == "update" and not self._dry_run:
            self._replace_administrators()
            demoted = list[str]()
            for row in transfer.update(self._connection, OPERATOR.user_id):
                batch.updated[row["id"]] = row["role"]
                updated.append(row["number"])
                demoted += [row["id"]] * row["demoted"]
            self._record((user_id, outbox_records.relation_repair(user_id)) for user_id in demoted)
        batch.stored |= transfer.store(self._connection, dry_run=self._dry_run)
        if len(batch.stored) + len(updated) < len(lines):
            self._explain_left(updated, batch)
        if self._events and not self._dry_run:
            self._record_creations(lines, [row["id"] for row in staged], batch)
        return batch

    def _explain_left(self, updated: list[int], batch: _Batch) -> None:
        """Account for the lines that were neither stored nor used to update."""
        for row in transfer.find_left(self._connection, list(batch.stored), updated, dry_run=self._dry_run):
            if row["reason"].startswith("administrator"):
                self._leave_administrator(row, batch)
            else:
                self._classify(row, batch)

    def _leave_administrator(self, row: DictRow, batch: _Batch) -> None:
        """Account for an administrator that this installation has under another id."""
        is_by_email = row["reason"] == "administrator"
        if is_by_email and self._on_conflict == "skip":
            batch.existing[row["id"]] = None
            batch.administrators_left.append(row["number"])
            return
        if self._on_conflict == "update" and self._dry_run and self._is_replaceable(row["number"]):
            batch.updated[row["id"]] = None
            return
        reason = "email_taken" if is_by_email else "username_taken"
        bad = BadLine(row["number"], reason, _MESSAGES[reason])
        if self._on_conflict == "fail":
            raise Stopped(bad)
        if self._on_conflict == "skip":
            bad = replace(bad, message=_ADMINISTRATORS_USERNAME)
        batch.bad.append(bad)

    def _replace_administrators(self) -> None:
        """Replace this installation's own administrator by its line, which then counts as an update."""
        for user_id in administrators.replace_all(self._connection):
            self._record((user_id, record) for record in administrators.records_of(user_id))

    def _is_replaceable(self, number: int) -> bool:
        return number in [each["number"] for each in transfer.find_replaceable(self._connection)]

    def _classify(self, row: DictRow, batch: _Batch) -> None:
        reason = row["reason"]
        if reason == "exists" and self._on_conflict == "update":
            if not row["protected"]:  # an earlier line of this batch about the same account, or a dry run
                batch.updated[row["user_id"]] = row["role"]
                return
            reason = "protected"
        bad = BadLine(row["number"], reason, _MESSAGES[reason])
        if self._on_conflict == "fail":
            raise Stopped(bad)
        if reason == "exists":
            batch.existing[row["user_id"]] = row["role"]
        else:
            batch.bad.append(bad)

    def _record_creations(self, lines: Iterable[Line], ids: Iterable[str], batch: _Batch) -> None:
        records = [
            (user_id, outbox_records.user_created(_user(line, user_id), OPERATOR, str(uuid.uuid4())))
            for line, user_id in zip(lines, ids, strict=True)
            if user_id in batch.stored
        ]
        self._record(records)

    def _relate(self, roles: dict[str, int | None]) -> None:
        """Write the relations. After SpiceDB has failed once, leave them to the outbox for the rest of the import."""
        pairs = [(user_id, role) for user_id, role in roles.items() if role is not None]
        for start in range(0, len(pairs), _RELATIONS):
            some = dict(pairs[start : start + _RELATIONS])
            if self._policy_store_is_up:
                try:
                    _grant(some)
                    continue
                except Unavailable as error:
                    if error.dependency != "spicedb":
                        raise
                    self._policy_store_is_up = False
            self._record((user_id, outbox_records.relation_repair(user_id)) for user_id in some)
            self._connection.commit()
            self.counts.relations_left += len(some)

    def _record(self, records: Iterable[tuple[str, outbox_records.Record]]) -> None:
        rows = [{"user_id": user_id, **asdict(record)} for user_id, record in records]
        transfer.record(self._connection, rows)


def _grant(roles: dict[str, int]) -> None:
    """Grant members together, and administrators one by one, because they may be demoted at this moment."""
    spicedb.grant_all(dict.fromkeys(roles, Role.USER))
    for user_id in [user_id for user_id, role in roles.items() if role == Role.ADMIN]:
        settle(user_id)


def _staged(line: Line) -> dict[str, Any]:
    """Return the columns of a line (transfer.STAGED)."""
    return {
        "number": line.number,
        "given_id": line.id is not None,
        "id": line.id or str(uuid.uuid4()),
        "email": line.email,
        "username": line.username,
        "first_name": line.first_name,
        "last_name": line.last_name,
        "tags": line.tags,
        "status": line.status,
        "role": line.role,
        "profile_picture": line.profile_picture,
        "updated_by": line.updated_by,
        "auth_provider": line.auth_provider,
        "secret": line.secret,
        "case_conflict": line.case_conflict,
        "document": line.text,
        **line.times,
    }


def _user(line: Line, user_id: str) -> User:
    return User(
        id=user_id,
        first_name=line.first_name,
        last_name=line.last_name,
        tags=line.tags or [],
        metadata=line.metadata,
        status=line.status or Status.ENABLED,
        role=line.role or Role.USER,
        username=line.username or "",
        email=line.email,
        created_at=line.times["created_at"] or datetime.now(UTC),
    )


def _refused(line: Line, error: psycopg.Error) -> BadLine:
    """Return PostgreSQL's refusal of a line, without its values."""
    name = error.diag.constraint_name or ""
    for reason in ("email", "username"):
        if f"{reason}_" in name:
            return BadLine(line.number, f"{reason}_taken", _MESSAGES[f"{reason}_taken"])
    return BadLine(line.number, "refused", f"PostgreSQL cannot store it ({type(error).__name__}, {error.sqlstate})")
