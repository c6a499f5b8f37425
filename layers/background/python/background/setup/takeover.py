"""Completion of accounts that upstream wrote, and a report about them (decisions 18, 19).

The migration that adds our columns does this, and each bootstrap again, because upstream may go on writing for a while,
or may be put back for a day. Connections must be in autocommit.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg.rows import DictRow, dict_row, scalar_row

from background.removal.due import kinds
from background.repository.removals import KINDS
from background.setup.live_tables import update_by_id, update_in_batches
from users.settings import settings
from users.telemetry.log import logger

# A grace period begins when we first see the account in that state, never earlier. An enabled account has none.
_COMPLETED = """
    role = COALESCE(u.role, 0),
    disabled_at = CASE u.status WHEN 0 THEN NULL WHEN 1 THEN COALESCE(u.disabled_at, now()) ELSE u.disabled_at END,
    deleted_at = CASE u.status WHEN 2 THEN COALESCE(u.deleted_at, now()) END"""
_INCOMPLETE = """
    u.role IS NULL
    OR u.status = 0 AND (u.disabled_at IS NOT NULL OR u.deleted_at IS NOT NULL)
    OR u.status = 1 AND (u.disabled_at IS NULL OR u.deleted_at IS NOT NULL)
    OR u.status = 2 AND u.deleted_at IS NULL"""

# The oldest enabled account comes first, then the oldest disabled, then the oldest deleted account.
_SENIORITY = "status, created_at, id"
_CONFLICTING = f"""
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY lower({{name}}) ORDER BY {_SENIORITY}) AS rank
        FROM users WHERE NOT case_conflict AND {{name}} IS NOT NULL
    ) ranked WHERE rank > 1 ORDER BY id"""

# Marked accounts that share no name with an unmarked account, or with a marked account of higher seniority.
_RELEASED = f"""
    WITH marked AS MATERIALIZED (
        SELECT id, lower(email) AS email, lower(username) AS username, row_number() OVER (ORDER BY {_SENIORITY}) AS rank
        FROM users WHERE case_conflict
    )
    SELECT m.id FROM marked m
    WHERE NOT EXISTS (SELECT FROM users u WHERE NOT u.case_conflict AND lower(u.email) = m.email)
        AND NOT EXISTS (SELECT FROM users u WHERE NOT u.case_conflict AND lower(u.username) = m.username)
        AND NOT EXISTS (SELECT FROM marked o WHERE o.email = m.email AND o.rank < m.rank)
        AND NOT EXISTS (SELECT FROM marked o WHERE o.username = m.username AND o.rank < m.rank)
    ORDER BY m.id"""


@dataclass(frozen=True, slots=True)
class Due:
    """Accounts that the sweep will remove unless they change: their number, and the first and last removal."""

    accounts: int
    begins: datetime | None
    ends: datetime | None


@dataclass(frozen=True, slots=True)
class Report:
    """Numbers of accounts after a takeover, without personal data.

    ``from_upstream``: accounts that still have upstream's password. ``bcrypt_hashes``: accounts whose hash the next
    login replaces. ``due``: accounts that the settings remove, by kind of background.removal.due.
    """

    accounts: int
    from_upstream: int
    case_conflicts: int
    bcrypt_hashes: int
    due: dict[str, Due]

    def as_values(self) -> dict[str, str | int]:
        """Return the report as flat JSON, which CloudFormation accepts. Times are RFC 3339."""
        values: dict[str, str | int] = {
            "accounts": self.accounts,
            "from_upstream": self.from_upstream,
            "case_conflicts": self.case_conflicts,
            "bcrypt_hashes": self.bcrypt_hashes,
        }
        for kind, due in self.due.items():
            values[f"{kind}_to_be_removed"] = due.accounts
            if due.begins and due.ends:
                values[f"{kind}_removed_from"] = due.begins.isoformat(timespec="seconds")
                values[f"{kind}_removed_until"] = due.ends.isoformat(timespec="seconds")
        return values


def complete_accounts(connection: psycopg.Connection) -> int:
    """Add missing roles and beginnings of grace periods. Return the number of completed accounts."""
    return update_in_batches(connection, _COMPLETED, _INCOMPLETE)


def mark_case_conflicts(connection: psycopg.Connection) -> int:
    """Mark accounts that share a folded e-mail or username, except the most senior one. Return the number."""
    marked = 0
    for name in ("email", "username"):
        ids = connection.cursor(row_factory=scalar_row).execute(_CONFLICTING.format(name=name)).fetchall()
        marked += update_by_id(connection, "case_conflict = true", "NOT u.case_conflict", ids)
    return marked


def release_case_conflicts(connection: psycopg.Connection) -> int:
    """Unmark accounts that share no name any more, or are the most senior now. Return the number.

    IntegrityError when another account took such a name at this moment. The rest waits for the next run.
    """
    released = 0
    while ids := connection.cursor(row_factory=scalar_row).execute(_RELEASED).fetchall():
        released += update_by_id(connection, "case_conflict = false", "u.case_conflict", ids)
    return released


def report(connection: psycopg.Connection) -> Report:
    """Count the accounts in one pass, log the counts and return them."""
    dues = ", ".join(
        f"count(*) FILTER (WHERE {condition}) AS {kind.name},"
        f" min({kind.since}) FILTER (WHERE {condition}) AS {kind.name}_first,"
        f" max({kind.since}) FILTER (WHERE {condition}) AS {kind.name}_last"
        for kind in KINDS
        for condition in [f"status = {int(kind.status)} AND {kind.since} IS NOT NULL"]
    )
    (row,) = connection.cursor(row_factory=dict_row).execute(
        "SELECT count(*) AS accounts, count(*) FILTER (WHERE secret_changed_at IS NULL) AS from_upstream,"
        " count(*) FILTER (WHERE case_conflict) AS case_conflicts,"
        f" count(*) FILTER (WHERE starts_with(secret, '$2')) AS bcrypt_hashes, {dues} FROM users"
    )
    grace = timedelta(seconds=settings().delete_after)
    found = Report(
        accounts=row["accounts"],
        from_upstream=row["from_upstream"],
        case_conflicts=row["case_conflicts"],
        bcrypt_hashes=row["bcrypt_hashes"],
        due={kind.name: _due(row, kind.name, grace) for kind in kinds()},
    )
    logger.info("accounts", extra=found.as_values())
    return found


def _due(row: DictRow, kind: str, grace: timedelta) -> Due:
    first, last = row[f"{kind}_first"], row[f"{kind}_last"]
    return Due(row[kind], first + grace if first else None, last + grace if last else None)
