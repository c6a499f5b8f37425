"""The accounts that the settings let the sweep remove.

These are accounts that were deleted or disabled for longer than ``MG_USERS_DELETE_AFTER`` (decisions 18), and accounts
that registered themselves and were never verified (background.removal.unverified_accounts).
"""

from background.repository import removals
from background.repository.removals import DELETED, KINDS, DueAccount, Kind, Periods
from users.settings import settings


def kinds() -> tuple[Kind, ...]:
    """Return the kinds that the settings remove: with ``MG_USERS_DELETE_AFTER=0s`` only deleted accounts."""
    disabled_too = settings().delete_disabled and settings().delete_after > 0
    return KINDS if disabled_too else (DELETED,)


def removes_unverified() -> bool:
    """Return whether unverified accounts are removed at all: only if they may not use the service."""
    return settings().unverified_after > 0 and not settings().allow_unverified_user


def due_accounts(limit: int) -> list[DueAccount]:
    """Return the accounts that are due and unclaimed, those that have been due longest first. Nothing is changed."""
    return removals.find_due(_periods(), limit)


def count_due() -> dict[str, int]:
    """Count the accounts that are due: ``deleted``, ``disabled``, ``unverified``. ``begun``: those that are claimed.

    A running sweep has claimed them, or one that failed. Each number is counted up to 100 000.
    """
    return removals.count_due(_periods())


def _periods() -> Periods:
    return Periods(
        kinds=kinds(),
        after=settings().delete_after,
        unverified=settings().unverified_after if removes_unverified() else None,
    )
