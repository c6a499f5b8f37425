"""Which accounts are to be removed.

These are accounts that were deleted or disabled for longer than ``MG_USERS_DELETE_AFTER`` (decisions 18), and
accounts that registered themselves and were never verified (background.removal.unverified_accounts).
"""

from dataclasses import dataclass
from datetime import datetime

from users.repository.database import query
from users.repository.purges import NEVER_VERIFIED
from users.settings import settings

# Why an account is to go; with its status, and the column that says since when. Each has an index on that column.
KINDS = {"deleted": (2, "deleted_at"), "disabled": (1, "disabled_at")}
# Self-registered accounts that nobody ever verified (decisions 35), by the parameter ``unverified`` in seconds. The
# condition of the index users_never_verified comes first. An account stays while its reminder waits to be sent, unless
# the reminder waits behind a parked mail: else an account whose mails cannot be sent would hold its address for ever.
# The reminder is looked up for each account. The outbox's statistics are always stale, and a plan that trusts them
# compares every account with every reminder.
UNVERIFIED_DUE = f"""{NEVER_VERIFIED}
    AND u.created_at <= now() - %(unverified)s * interval '1 second'
    AND u.verification_reminded_at <= now() - %(unverified)s / 2 * interval '1 second'
    AND (SELECT bool_or(o.name = 'verification_reminder') AND NOT bool_or(o.parked_at IS NOT NULL)
        FROM users_outbox o WHERE o.user_id = u.id AND o.channel = 'mail') IS NOT TRUE"""
_MOST_COUNTED = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DueAccount:
    """An account that the next run removes. ``kind`` is of ``KINDS`` or ``unverified``; ``since`` when that began."""

    id: str
    kind: str
    role: int
    since: datetime


def kinds() -> list[str]:
    """What the settings let go: ``MG_USERS_DELETE_AFTER=0s`` is for deleted accounts only."""
    disabled_too = settings().delete_disabled and settings().delete_after > 0
    return list(KINDS) if disabled_too else ["deleted"]


def removes_unverified() -> bool:
    """Whether unverified accounts are removed at all: only where they may not use the service."""
    return settings().unverified_after > 0 and not settings().allow_unverified_user


def unclaimed(kind: str) -> str:
    """The condition on ``users u`` for accounts of a kind whose removal has not begun; their index has it, too."""
    return f"u.status = {KINDS[kind][0]} AND u.purging_at IS NULL"


def is_due(kind: str) -> str:
    """The same, and for longer than the parameter ``after`` in seconds."""
    return f"{unclaimed(kind)} AND u.{KINDS[kind][1]} <= now() - %(after)s * interval '1 second'"


def due_accounts(limit: int) -> list[DueAccount]:
    """The accounts that are due and unclaimed, those that are due longest first; nothing is changed."""
    due = {kind: (is_due(kind), KINDS[kind][1]) for kind in kinds()}
    if removes_unverified():
        due["unverified"] = (UNVERIFIED_DUE, "created_at")
    selects = " UNION ALL ".join(
        f"(SELECT id, '{kind}' AS kind, COALESCE(role, 0) AS role, {since} AS since FROM users u"
        f" WHERE {condition} ORDER BY {since}, id LIMIT %(limit)s)"
        for kind, (condition, since) in due.items()
    )
    statement = f"SELECT * FROM ({selects}) due ORDER BY since, id LIMIT %(limit)s"
    rows = query(statement, _periods() | {"limit": limit}, read_only=True)
    return [DueAccount(**row) for row in rows]


def count_due() -> dict[str, int]:
    """How many accounts are due: ``deleted``, ``disabled`` and ``unverified``. ``begun``: how many are claimed.

    A running sweep has claimed them, or one that failed. Each number is counted up to 100 000.
    """
    counted = {kind: is_due(kind) if kind in kinds() else "false" for kind in KINDS}
    counted["unverified"] = UNVERIFIED_DUE if removes_unverified() else "false"
    counted["begun"] = "u.purging_at IS NOT NULL"
    columns = ", ".join(
        f"(SELECT count(*) FROM (SELECT FROM users u WHERE {condition} LIMIT {_MOST_COUNTED}) found) AS {name}"
        for name, condition in counted.items()
    )
    row = query(f"SELECT {columns}", _periods(), read_only=True)[0]
    return {name: int(row[name]) for name in counted}


def _periods() -> dict[str, float]:
    return {"after": settings().delete_after, "unverified": settings().unverified_after}
