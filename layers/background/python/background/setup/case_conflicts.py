"""Accounts of a taken-over database whose names another account has in other letter case (decisions 19).

The takeover marks them. They lie outside the folded unique indexes, and log in by exact spelling. A change that gives
such an account names of its own releases it. If its names become unique because the other account was renamed or
removed, the next bootstrap releases it.
"""

from dataclasses import dataclass
from datetime import datetime

from background.repository.accounts import find_case_conflicts


@dataclass(frozen=True, slots=True)
class CaseConflict:
    """A marked account. ``kept_by`` is the id of the account with its folded e-mail, else with its folded username.

    ``kept_by`` is None when that account is gone.
    """

    id: str
    email: str
    username: str | None
    status: int
    created_at: datetime | None
    kept_by: str | None


def case_conflicts() -> list[CaseConflict]:
    """Return the marked accounts, those of one name together. Unavailable without a database."""
    return [CaseConflict(**row) for row in find_case_conflicts()]
