"""The accounts to remove: statements that find, date, warn, claim and delete them (decisions 18, 35)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from users.models import Status
from users.repository.database import query
from users.repository.outbox import insert
from users.repository.purges import LEASE, NEVER_VERIFIED, Claim, removal, removal_event
from users.repository.statements import Part, Statement
from users.rules.outbox_records import Record

_DATED = 1000  # accounts that one statement dates
_MOST_COUNTED = 100_000
# Thousands of accounts may reach their warning at the same moment, for example after a takeover. Their mails become due
# one after the other, so that urgent mails do not queue behind them. The age of a mail counts from its due time.
_SECONDS_BETWEEN_MAILS = 0.1


@dataclass(frozen=True, slots=True)
class Kind:
    """A reason for removing accounts: their status, and the indexed column of ``users`` with its beginning."""

    name: str
    status: Status
    since: str

    @property
    def unclaimed(self) -> str:
        """The condition on ``users u`` for accounts whose removal has not begun. The index has it, too."""
        return f"u.status = {int(self.status)} AND u.purging_at IS NULL"

    @property
    def due(self) -> str:
        """The condition on ``users u`` for accounts that have had the status for ``after`` seconds."""
        return f"{self.unclaimed} AND u.{self.since} <= now() - %(after)s * interval '1 second'"


DELETED = Kind("deleted", Status.DELETED, "deleted_at")
DISABLED = Kind("disabled", Status.DISABLED, "disabled_at")
KINDS = (DELETED, DISABLED)

# The condition on ``users u`` for self-registered accounts that nobody has verified for ``unverified`` seconds
# (decisions 35). The condition of the index users_never_verified comes first. An account stays while its reminder waits
# to be sent, unless the reminder waits behind a parked mail: otherwise an account whose mails cannot be sent would keep
# its address for ever. The statement looks up the reminder for each account. The outbox's statistics are always stale,
# and a plan that trusts them compares every account with every reminder.
UNVERIFIED_DUE = f"""{NEVER_VERIFIED}
    AND u.created_at <= now() - %(unverified)s * interval '1 second'
    AND u.verification_reminded_at <= now() - %(unverified)s / 2 * interval '1 second'
    AND (SELECT bool_or(o.name = 'verification_reminder') AND NOT bool_or(o.parked_at IS NOT NULL)
        FROM users_outbox o WHERE o.user_id = u.id AND o.channel = 'mail') IS NOT TRUE"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """Seconds until an account is removed: after a deletion or disabling, and after an unverified registration.

    ``kinds`` are the kinds that the settings remove. ``unverified`` is None if unverified accounts stay.
    """

    kinds: tuple[Kind, ...]
    after: float
    unverified: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueAccount:
    """An account that the next run removes. ``kind`` is a name of ``KINDS`` or ``unverified``, ``since`` its begin."""

    id: str
    kind: str
    role: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Position:
    """An account's place in the order of a column. A batch begins after the account before."""

    since: str = "-infinity"  # as PostgreSQL's text
    id: str = ""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Accounts to remove: a SELECT of their ids, in the order of their removal, and its parameters."""

    name: str
    select: str
    parameters: Mapping[str, float]


def due(kind: Kind, after: float) -> Candidates:
    """Return the accounts of a kind that are due, and unclaimed."""
    select = f"SELECT u.id FROM users u WHERE {kind.due} ORDER BY u.{kind.since}, u.id"
    return Candidates(kind.name, select, {"after": after})


# Claims whose run is dead or whose account failed. The more often an account failed, the later it is tried again.
ABANDONED = Candidates(
    "abandoned",
    """SELECT u.id FROM users u
    WHERE u.purging_at < now() - %(lease)s * interval '1 second'
        AND u.purging_at < now() - %(lease)s * interval '1 second' * 2 ^ LEAST(u.purge_attempts - 1, 6)
        AND u.status <> 0
    ORDER BY u.purging_at""",
    {"lease": LEASE},
)


@cache
def _date(kind: Kind) -> Statement:
    return Statement(
        f"date_{kind.name}",
        f"""
        UPDATE users SET {kind.since} = now() WHERE id IN (
            SELECT id FROM users
            WHERE status = {int(kind.status)} AND purging_at IS NULL AND {kind.since} IS NULL LIMIT {_DATED})
        RETURNING 1""",
    )


@dataclass(frozen=True, slots=True)
class _Due:
    """Accounts that are due: the condition on ``users u``, and the column with its beginning."""

    name: str
    condition: str
    since: str


def _all_due(periods: Periods) -> list[_Due]:
    due = [_Due(kind.name, kind.due, kind.since) for kind in periods.kinds]
    return due if periods.unverified is None else [*due, _Due("unverified", UNVERIFIED_DUE, "created_at")]


def _parameters(periods: Periods) -> dict[str, Any]:
    parameters = {"after": periods.after} if periods.kinds else {}
    return parameters | ({} if periods.unverified is None else {"unverified": periods.unverified})


@cache
def _find_due(periods: Periods) -> Statement:
    selects = " UNION ALL ".join(
        f"(SELECT id, '{due.name}' AS kind, COALESCE(role, 0) AS role, {due.since} AS since FROM users u"
        f" WHERE {due.condition} ORDER BY {due.since}, id LIMIT %(limit)s)"
        for due in _all_due(periods)
    )
    return Statement("find_due", f"SELECT * FROM ({selects}) due ORDER BY since, id LIMIT %(limit)s")


@cache
def _count_due(periods: Periods) -> Statement:
    conditions = {due.name: due.condition for due in _all_due(periods)}
    columns = ", ".join(
        f"(SELECT count(*) FROM (SELECT FROM users u WHERE {condition} LIMIT {_MOST_COUNTED}) found) AS {name}"
        for name, condition in {**conditions, "begun": "u.purging_at IS NOT NULL"}.items()
    )
    return Statement("count_due", f"SELECT {columns}")


@cache
def _claim(name: str, select: str, limit: int) -> Statement:
    return Statement(
        f"claim_{name}",
        Part("due", f"{select} LIMIT {limit} FOR UPDATE SKIP LOCKED", gives=("id",), materialized=True),
        """
        UPDATE users u SET purging_at = now(), purge_attempts = purge_attempts + 1
        FROM due WHERE u.id = due.id RETURNING u.id, u.purging_at""",
    )


@cache
def _remove(name: str, select: str, limit: int) -> Statement:
    return removal(f"remove_{name}", f"{select} LIMIT {limit} FOR UPDATE SKIP LOCKED")


_REMOVE_UNVERIFIED = removal(
    "remove_unverified", f"SELECT u.id FROM users u WHERE u.id = ANY(%(ids)s) AND {UNVERIFIED_DUE} FOR UPDATE"
)

_FIND_THERE = Statement("find_there", "SELECT id FROM users WHERE id = ANY(%(ids)s)")


@cache
def _find_unwarned(kind: Kind, limit: int) -> Statement:
    since = kind.since
    return Statement(
        f"find_unwarned_{kind.name}",
        f"""
        SELECT u.id, u.email, u.{since} AS since, u.{since}::text AS since_text FROM users u
        WHERE {kind.unclaimed} AND u.removal_warned_at IS NULL
            AND u.{since} <= now() - %(unwarned)s * interval '1 second'
            AND u.{since} > now() - %(grace)s * interval '1 second'
            AND (u.{since}, u.id) > (%(since)s::timestamptz, %(id)s)
        ORDER BY u.{since}, u.id LIMIT {limit}""",
    )


@cache
def _find_unreminded(limit: int) -> Statement:
    return Statement(
        "find_unreminded",
        f"""
        SELECT u.id, u.email FROM users u
        WHERE {NEVER_VERIFIED} AND u.verification_reminded_at IS NULL
            AND u.created_at <= now() - %(unverified)s / 2 * interval '1 second'
        ORDER BY u.created_at, u.id LIMIT {limit}""",
    )


@cache
def _find_unverified_due(limit: int) -> Statement:
    return Statement(
        "find_unverified_due",
        f"""
        SELECT u.id, u.created_at::text AS created_at FROM users u
        WHERE {UNVERIFIED_DUE} AND (u.created_at, u.id) > (%(created_at)s::timestamptz, %(id)s)
        ORDER BY u.created_at, u.id LIMIT {limit}""",
    )


def _write_mails(name: str, marks: str, condition: str) -> Statement:
    """Return the statement that writes mails to accounts that meet the condition on ``users u``.

    The column ``marks`` of these accounts gets the time.
    """
    return Statement(
        name,
        Part(
            "told",
            """
            SELECT * FROM jsonb_to_recordset(%(records)s)
                AS r(id uuid, user_id text, channel text, name text, payload jsonb)""",
            gives=("id", "user_id", "channel", "name", "payload"),
        ),
        Part(
            "changed",
            f"""
            UPDATE users u SET {marks} = now() FROM told
            WHERE u.id = told.user_id AND {condition} RETURNING u.id""",
            needs={"told": ("user_id",)},
            gives=("id",),
        ),
        Part(
            "due",
            f"""
            SELECT told.*, now() + (%(before)s + row_number() OVER () - 1) * {_SECONDS_BETWEEN_MAILS}
                * interval '1 second' AS at
            FROM told JOIN changed ON changed.id = told.user_id""",
            needs={"told": ("user_id",), "changed": ("id",)},
            gives=("id", "user_id", "channel", "name", "payload", "at"),
        ),
        insert(
            "written",
            "SELECT id, user_id, channel, name, payload, at, at FROM due RETURNING seq",
            needs={"due": ("id", "user_id", "channel", "name", "payload", "at")},
            also=("created_at", "next_attempt_at"),
        ),
    )


@cache
def _warn(kind: Kind) -> Statement:
    return _write_mails(f"warn_{kind.name}", "removal_warned_at", f"{kind.unclaimed} AND u.removal_warned_at IS NULL")


_REMIND = _write_mails(
    "remind_unverified",
    "verification_reminded_at",
    f"{NEVER_VERIFIED} AND u.verification_reminded_at IS NULL",
)


def date(kind: Kind) -> int:
    """Date a batch of accounts whose status has no date, because upstream set it. Their period begins now."""
    return len(query(_date(kind), {}, read_only=False))


def find_due(periods: Periods, limit: int) -> list[DueAccount]:
    """Return the accounts that are due and unclaimed. Those that have been due longest come first."""
    rows = query(_find_due(periods), {**_parameters(periods), "limit": limit}, read_only=True)
    return [DueAccount(**row) for row in rows]


def count_due(periods: Periods) -> dict[str, int]:
    """Count the accounts that are due, each kind up to 100 000. ``begun``: those that are claimed."""
    row = query(_count_due(periods), _parameters(periods), read_only=True)[0]
    counted = dict.fromkeys((*(kind.name for kind in KINDS), "unverified", "begun"), 0)
    return counted | {name: int(count) for name, count in row.items()}


def claim(candidates: Candidates, limit: int) -> Claim | None:
    """Claim the next accounts. Return None if there are none."""
    statement = _claim(candidates.name, candidates.select, limit)
    rows = query(statement, candidates.parameters, read_only=False)
    return Claim([row["id"] for row in rows], rows[0]["purging_at"]) if rows else None


def remove(candidates: Candidates, limit: int, event: Record) -> int:
    """Delete the next accounts, which are in no domain and have no relations, and return their number."""
    statement = _remove(candidates.name, candidates.select, limit)
    return int(query(statement, {**candidates.parameters, **removal_event(event)}, read_only=False)[0]["removed"])


def find_unverified_due(after: Position, *, unverified: float, limit: int) -> list[DictRow]:
    """Return the next unverified accounts that are due, in the order of registration: ``id`` and ``created_at``.

    They come after a position, so that accounts that fail block no others.
    """
    parameters = {"unverified": unverified, "created_at": after.since, "id": after.id}
    return query(_find_unverified_due(limit), parameters, read_only=True)


def remove_unverified(ids: Sequence[str], *, unverified: float, event: Record) -> int:
    """Delete the accounts that are still due, and return their number."""
    parameters = {"ids": list(ids), "unverified": unverified, **removal_event(event)}
    return int(query(_REMOVE_UNVERIFIED, parameters, read_only=False)[0]["removed"])


def find_there(ids: Sequence[str]) -> list[str]:
    """Return the ids that have an account."""
    return [row["id"] for row in query(_FIND_THERE, {"ids": list(ids)}, read_only=True)]


def find_unwarned(kind: Kind, after: Position, *, grace: float, unwarned: float, limit: int) -> list[DictRow]:
    """Return the next accounts to warn: ``id``, ``email``, ``since``, and ``since_text`` for ``after``.

    They have had the status for ``unwarned`` seconds or more, and for less than ``grace``.
    """
    parameters = {"grace": grace, "unwarned": unwarned, "since": after.since, "id": after.id}
    return query(_find_unwarned(kind, limit), parameters, read_only=True)


def find_unreminded(*, unverified: float, limit: int) -> list[DictRow]:
    """Return the next unverified accounts whose half time is over: ``id`` and ``email``."""
    return query(_find_unreminded(limit), {"unverified": unverified}, read_only=True)


def warn(kind: Kind, mails: Sequence[Mapping[str, Any]], *, mails_before: int) -> int:
    """Mark accounts as warned, and write their mails, unless they were enabled or warned meanwhile. Return how many.

    Each mail has its ``user_id``. The run has written ``mails_before`` mails already.
    """
    return len(query(_warn(kind), {"records": Jsonb(mails), "before": mails_before}, read_only=False))


def remind(mails: Sequence[Mapping[str, Any]], *, mails_before: int) -> int:
    """Mark accounts as reminded, and write their mails, unless they were verified or reminded meanwhile."""
    return len(query(_REMIND, {"records": Jsonb(mails), "before": mails_before}, read_only=False))
