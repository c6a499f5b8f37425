"""Storing lines in batches, each batch one transaction: COPY into a temporary table, then what is new into ``users``.

A batch is stored whole or not at all, so an import that is killed has stored a number of batches, and the same import
again finds their accounts there: by id, or for a line without one by its exact e-mail and username. A batch that
PostgreSQL refuses is halved until the line is found that is the cause. Relations are written after the commit, and by
a repetition again; what SpiceDB does not take, the relay does. What is wrong with lines is told in their order.

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
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from background.accounts.administration import OPERATOR
from background.accounts.transfer import administrators
from background.accounts.transfer.line import TIMES, Line
from users.errors import Unavailable
from users.models import Role, Status, User
from users.peers import spicedb
from users.repository.changes import NEXT_SECOND
from users.repository.database import conninfo
from users.rules import outbox_records
from users.settings import settings
from users.steps.granting import settle

BATCH = 1000
_RELATIONS = 500  # accounts in one call: SpiceDB takes 1000 relations

OnConflict = Literal["skip", "update", "fail"]

_STAGED = f"""
    CREATE TEMPORARY TABLE staged (
        number BIGINT, given_id BOOLEAN, id TEXT, email TEXT, username TEXT, first_name TEXT, last_name TEXT,
        tags TEXT[], status SMALLINT, role SMALLINT, profile_picture TEXT, updated_by TEXT, auth_provider TEXT,
        secret TEXT, case_conflict BOOLEAN, document JSON,
        {", ".join(f"{name} TIMESTAMPTZ" for name in TIMES)}
    ) ON COMMIT DELETE ROWS"""
_COLUMNS = (
    "number, given_id, id, email, username, first_name, last_name, tags, status, role, profile_picture, updated_by,"
    f" auth_provider, secret, case_conflict, document, {', '.join(TIMES)}"
)
# A dry run fills a table of its own with the same constraints: it finds what is twice in the file, too.
_REHEARSAL = """
    CREATE TEMPORARY TABLE rehearsal (LIKE users INCLUDING DEFAULTS);
    CREATE UNIQUE INDEX ON rehearsal (id);
    CREATE UNIQUE INDEX ON rehearsal (email);
    CREATE UNIQUE INDEX ON rehearsal (username);
    CREATE UNIQUE INDEX ON rehearsal (lower(email)) WHERE NOT case_conflict;
    CREATE UNIQUE INDEX ON rehearsal (lower(username)) WHERE NOT case_conflict"""

# The account that a line is about: the same id or, for a line without one, the same e-mail and username.
_SAME = """(s.given_id AND u.id = s.id)
    OR (NOT s.given_id AND u.email = s.email AND u.username IS NOT DISTINCT FROM s.username)"""

_OCCUPIED = (
    "u.id = s.id",
    "u.email = s.email",
    "u.username = s.username",
    "lower(u.email) = lower(s.email) AND NOT u.case_conflict AND NOT s.case_conflict",
    "lower(u.username) = lower(s.username) AND NOT u.case_conflict AND NOT s.case_conflict",
)


def _insert(target: str, chosen: str = "true") -> str:
    """Store the staged lines ``chosen`` that no account stands in the way of; their ids and roles.

    In ``users`` its own constraints decide; what is another table's must ask.
    """
    conditions = () if target == "users" else _OCCUPIED
    free = " AND ".join([chosen, *(f"NOT EXISTS (SELECT FROM users u WHERE {one})" for one in conditions)])
    return f"""
        INSERT INTO {target} (id, email, username, first_name, last_name, tags, status, role, profile_picture,
            updated_by, auth_provider, secret, case_conflict, metadata, private_metadata, created_at, updated_at,
            verified_at, secret_changed_at, tokens_valid_from, disabled_at, deleted_at)
        SELECT id, email, username, first_name, last_name, NULLIF(tags, '{{}}'), COALESCE(status, 0), COALESCE(role, 0),
            profile_picture, updated_by, auth_provider, secret, case_conflict,
            COALESCE((document::jsonb)->'metadata', '{{}}'), COALESCE((document::jsonb)->'private_metadata', '{{}}'),
            COALESCE(created_at, now()), updated_at, verified_at, secret_changed_at, tokens_valid_from,
            CASE WHEN status = 1 THEN COALESCE(disabled_at, now()) WHEN status = 2 THEN disabled_at END,
            CASE WHEN status = 2 THEN COALESCE(deleted_at, now()) END
        FROM staged s WHERE {free} ORDER BY number
        ON CONFLICT DO NOTHING RETURNING id, role"""


# What an update may not do: take away an administrator, or meddle with an account that is being removed.
_UPDATABLE = """u.purging_at IS NULL AND NOT (u.role = 1 AND u.status = 0
    AND (COALESCE(s.role, 1) <> 1 OR COALESCE(s.status, 0) <> 0))"""
_UPDATE = f"""
    WITH matched AS (
        SELECT DISTINCT ON (u.id) u.id AS user_id, u.email AS old_email, COALESCE(s.role < u.role, false) AS demoted,
            s.secret IS DISTINCT FROM u.secret AND s.secret IS NOT NULL AS new_secret,
            COALESCE(s.role <> u.role, false) OR COALESCE(s.status <> u.status, false) AS new_standing, s.*
        FROM staged s JOIN users u ON {_SAME} WHERE {_UPDATABLE} ORDER BY u.id, s.number DESC
    ), ended AS (
        UPDATE users_one_time_tokens t SET used_at = now() FROM matched m
        WHERE t.user_id = m.user_id AND t.used_at IS NULL AND (m.new_secret OR lower(m.email) <> lower(m.old_email))
    )
    UPDATE users u SET email = m.email, username = COALESCE(m.username, u.username), first_name = m.first_name,
        last_name = m.last_name, tags = COALESCE(m.tags, u.tags), status = COALESCE(m.status, u.status),
        role = COALESCE(m.role, u.role), profile_picture = COALESCE(m.profile_picture, u.profile_picture),
        auth_provider = COALESCE(m.auth_provider, u.auth_provider), secret = COALESCE(m.secret, u.secret),
        metadata = COALESCE((m.document::jsonb)->'metadata', u.metadata),
        private_metadata = COALESCE((m.document::jsonb)->'private_metadata', u.private_metadata),
        created_at = COALESCE(m.created_at, u.created_at),
        updated_at = COALESCE(m.updated_at, now()), updated_by = COALESCE(m.updated_by, %(by)s),
        verified_at = COALESCE(m.verified_at, CASE WHEN lower(m.email) = lower(u.email) THEN u.verified_at END),
        secret_changed_at = COALESCE(m.secret_changed_at, CASE WHEN m.new_secret THEN now() END, u.secret_changed_at),
        tokens_valid_from = GREATEST(u.tokens_valid_from, m.tokens_valid_from,
            CASE WHEN m.new_secret OR m.new_standing THEN {NEXT_SECOND} END),
        disabled_at = CASE COALESCE(m.status, u.status)
            WHEN 1 THEN COALESCE(m.disabled_at, u.disabled_at, now())
            WHEN 2 THEN COALESCE(m.disabled_at, u.disabled_at) END,
        deleted_at = CASE WHEN COALESCE(m.status, u.status) = 2 THEN COALESCE(m.deleted_at, u.deleted_at, now()) END
    FROM matched m WHERE u.id = m.user_id
    RETURNING u.id, u.role, m.number, m.demoted"""

# Why a line was not stored: `exists` when it is about an account that is there.
_OTHERS = f"""
    SELECT s.number, s.id, CASE
        WHEN same.id IS NOT NULL THEN 'exists'
        WHEN EXISTS (SELECT FROM users u WHERE {administrators.SAME}) THEN 'administrator'
        WHEN EXISTS (SELECT FROM users u WHERE {administrators.SAME_BY_USERNAME}) THEN 'administrator_by_username'
        WHEN EXISTS (SELECT FROM {{users}} u WHERE u.email = s.email OR (
            lower(u.email) = lower(s.email) AND NOT u.case_conflict)) THEN 'email_taken'
        ELSE 'username_taken' END AS reason, same.id AS user_id, same.role, COALESCE(same.protected, false) AS protected
    FROM staged s LEFT JOIN LATERAL (
        SELECT u.id, CASE WHEN u.purging_at IS NULL THEN u.role END AS role, NOT ({_UPDATABLE}) AS protected
        FROM {{users}} u WHERE {_SAME} LIMIT 1
    ) same ON true
    WHERE s.id <> ALL(%(stored)s) AND s.number <> ALL(%(updated)s) ORDER BY s.number"""

_RECORD = """
    INSERT INTO users_outbox (id, user_id, channel, name, payload)
    SELECT id, user_id, channel, name, payload FROM jsonb_to_recordset(%(records)s)
        AS r(id uuid, user_id text, channel text, name text, payload jsonb)"""

_MESSAGES = {
    "exists": "the account is there already",
    "email_taken": "another account has this e-mail address, perhaps in other letter case",
    "username_taken": "another account has this username, perhaps in other letter case",
    "protected": "the account is an enabled administrator that would lose its rights, or is being removed",
}


_ADMINISTRATORS_USERNAME = (
    "this installation's own administrator has this username, with another e-mail address; --on-conflict update takes"
    " in the one of the file instead"
)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not stored: its number in the file, a stable code, and a reason without personal data."""

    number: int
    error: str
    message: str


class Stopped(Exception):
    """``--on-conflict fail`` met an account that is there; the batch of ``line`` was not stored."""

    def __init__(self, line: BadLine) -> None:
        super().__init__(f"line {line.number}: {line.message}")
        self.line = line


@dataclass(slots=True)
class Counts:
    """What became of the lines so far."""

    imported: int = 0
    updated: int = 0
    existing: int = 0
    failed: int = 0
    relations_left: int = 0


@dataclass(slots=True)
class _Batch:
    """What a transaction did, counted when it is committed."""

    stored: dict[str, int | None] = field(default_factory=dict)  # id: role, None where it is being removed
    updated: dict[str, int | None] = field(default_factory=dict)
    existing: dict[str, int | None] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)
    administrators_left: list[int] = field(default_factory=list)


class Importer:
    """One connection that stores batches; a context manager. Raises psycopg.Error when the database goes away."""

    def __init__(
        self, *, on_conflict: OnConflict, events: bool, dry_run: bool, report: Callable[[BadLine], None]
    ) -> None:
        """``report`` is told of each line that was not stored, when its batch is over."""
        self.counts = Counts()
        self._on_conflict = on_conflict
        self._events = events
        self._dry_run = dry_run
        self._report = report
        self._target = "rehearsal" if dry_run else "users"
        self._relations = bool(settings().spicedb_host) and not dry_run
        self._policy_store_is_up = True
        self._bad: list[BadLine] = []
        self._connection: psycopg.Connection[DictRow]
        # The numbers of the lines that were left out for this installation's own administrator.
        self.administrators_left: list[int] = []

    def __enter__(self) -> Self:
        """Connect. The role's limits are for requests."""
        self._connection = psycopg.connect(conninfo(), row_factory=dict_row, prepare_threshold=None)
        try:
            self._connection.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
            self._connection.execute(_STAGED)
            if self._dry_run:
                self._connection.execute(_REHEARSAL)
            self._connection.commit()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Let go; a batch that was under way is not stored."""
        self._connection.close()

    def refuse(self, bad: BadLine) -> None:
        """Account for a line that cannot be stored. It is told with those of its batch."""
        self.counts.failed += 1
        self._bad.append(bad)

    def store(self, lines: Sequence[Line]) -> None:
        """Store a batch, and tell what is wrong; Stopped for a line that is there where that is to end the import."""
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
        """Stage, update, insert, and ask why the rest was left."""
        cursor = self._connection.cursor()
        staged = [_staged(line) for line in lines]
        with cursor.copy(f"COPY staged ({_COLUMNS}) FROM STDIN") as copy:
            for values in staged:
                copy.write_row(values)
        batch, updated = _Batch(), list[int]()
        if self._on_conflict == "update" and not self._dry_run:
            self._replace_administrators()
            demoted = list[str]()
            for row in cursor.execute(_UPDATE, {"by": OPERATOR.user_id}):
                batch.updated[row["id"]] = row["role"]
                updated.append(row["number"])
                demoted += [row["id"]] * row["demoted"]
            self._record((user_id, outbox_records.relation_repair(user_id)) for user_id in demoted)
        batch.stored = {row["id"]: row["role"] for row in cursor.execute(_insert(self._target))}
        if len(batch.stored) + len(updated) < len(lines):
            self._ask_why(cursor, updated, batch)
        if self._events and not self._dry_run:
            self._tell(lines, [row[2] for row in staged], batch)
        return batch

    def _ask_why(self, cursor: psycopg.Cursor[DictRow], updated: list[int], batch: _Batch) -> None:
        """Account for the lines that were neither stored nor used to update."""
        tables = "(SELECT * FROM users UNION ALL SELECT * FROM rehearsal)" if self._dry_run else "users"
        left = {"stored": list(batch.stored), "updated": updated}
        for row in cursor.execute(_OTHERS.replace("{users}", tables), left).fetchall():
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
        """Let lines about this installation's own administrator take its place; they are updated then."""
        for user_id in administrators.replace_all(self._connection, _insert("users", "s.number = %(number)s")):
            self._record((user_id, record) for record in administrators.records_of(user_id))

    def _is_replaceable(self, number: int) -> bool:
        return number in [each["number"] for each in administrators.replaceable(self._connection)]

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

    def _tell(self, lines: Iterable[Line], ids: Iterable[str], batch: _Batch) -> None:
        records = [
            (user_id, outbox_records.user_created(_user(line, user_id), OPERATOR, str(uuid.uuid4())))
            for line, user_id in zip(lines, ids, strict=True)
            if user_id in batch.stored
        ]
        self._record(records)

    def _relate(self, roles: dict[str, int | None]) -> None:
        """Write the relations; once SpiceDB does not take them, they are the outbox's for the rest of the import."""
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
        self._connection.execute(_RECORD, {"records": Jsonb(rows)})


def _grant(roles: dict[str, int]) -> None:
    """Members at once, administrators one by one: they may be demoted at this moment."""
    spicedb.grant_all(dict.fromkeys(roles, Role.USER))
    for user_id in [user_id for user_id, role in roles.items() if role == Role.ADMIN]:
        settle(user_id)


def _staged(line: Line) -> tuple[Any, ...]:
    return (
        line.number,
        line.id is not None,
        line.id or str(uuid.uuid4()),
        line.email,
        line.username,
        line.first_name,
        line.last_name,
        line.tags,
        line.status,
        line.role,
        line.profile_picture,
        line.updated_by,
        line.auth_provider,
        line.secret,
        line.case_conflict,
        line.text,
        *(line.times[name] for name in TIMES),
    )


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
    """What PostgreSQL says, without the values it says it of."""
    name = error.diag.constraint_name or ""
    for reason in ("email", "username"):
        if f"{reason}_" in name:
            return BadLine(line.number, f"{reason}_taken", _MESSAGES[f"{reason}_taken"])
    return BadLine(line.number, "refused", f"PostgreSQL cannot store it ({type(error).__name__}, {error.sqlstate})")
