"""Accounts of a taken-over database whose e-mail or username another one has in other letter case (decisions 19).

They are marked by the takeover, lie outside the folded unique indexes, and log in by exact spelling. One that takes
names of its own is released with the change; one whose names are its alone because the other account was renamed or
removed, by the next bootstrap.
"""

from dataclasses import dataclass
from datetime import datetime

from users.repository.database import query


@dataclass(frozen=True, slots=True)
class CaseConflict:
    """A marked account; ``kept_by`` is the id of the account that keeps its folded e-mail, else its folded username.

    None when that account is gone.
    """

    id: str
    email: str
    username: str | None
    status: int
    created_at: datetime | None
    kept_by: str | None


def case_conflicts() -> list[CaseConflict]:
    """The marked accounts, those of one name together. Unavailable without a database."""
    statement = """
        SELECT u.id, u.email, u.username, u.status, u.created_at AT TIME ZONE 'UTC' AS created_at, COALESCE(
            (SELECT k.id FROM users k WHERE lower(k.email) = lower(u.email) AND NOT k.case_conflict),
            (SELECT k.id FROM users k WHERE lower(k.username) = lower(u.username) AND NOT k.case_conflict)
        ) AS kept_by
        FROM users u WHERE u.case_conflict
        ORDER BY kept_by, lower(u.email), u.created_at, u.id"""
    return [CaseConflict(**row) for row in query(statement, {}, read_only=True)]
