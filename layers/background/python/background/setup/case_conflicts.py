"""Accounts of a taken-over database whose e-mail or username another one has in other letter case (decisions.md 19).

They are marked by the takeover, lie outside the folded unique indexes, and log in by exact spelling. One that takes
names of its own is released with the change; one whose names are its alone because the other account was renamed or
removed, by the next bootstrap.
"""

from dataclasses import dataclass
from datetime import datetime

from background.repository.accounts import find_case_conflicts


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
    return [CaseConflict(**row) for row in find_case_conflicts()]
