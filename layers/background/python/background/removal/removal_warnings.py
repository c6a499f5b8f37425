"""Warning the owners of deleted and disabled accounts before the sweep removes them (decisions 18).

The owner gets one warning for each deletion: seven days before the end, or at half of a shorter grace period. The
warning does not move the end. A late run warns late, and an account that no run found in the time between is removed
without a warning.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from background.removal.due import kinds
from background.repository import removals
from background.repository.removals import Kind, Position
from users.rules.outbox_records import removal_warning
from users.settings import settings

_LEAD = 7 * 24 * 3600.0  # seconds
_BATCH = 500


def warn(time_is_left: Callable[[], bool]) -> int:
    """Write the mails of all accounts whose time has come, in batches. Return how many."""
    warned = 0
    if settings().delete_after > 0:
        for kind in kinds():
            after = Position()
            while time_is_left() and (found := _next(kind, after)):
                warned += _write(kind, found, warned)
                after = Position(found[-1]["since_text"], found[-1]["id"])
    return warned


def _next(kind: Kind, after: Position) -> list[dict[str, Any]]:
    grace = settings().delete_after
    unwarned = grace - min(_LEAD, grace / 2)
    return removals.find_unwarned(kind, after, grace=grace, unwarned=unwarned, limit=_BATCH)


def _write(kind: Kind, found: list[dict[str, Any]], mails_before: int) -> int:
    grace = timedelta(seconds=settings().delete_after)
    mails = [{"user_id": row["id"], **asdict(removal_warning(row["email"], row["since"] + grace))} for row in found]
    return removals.warn(kind, mails, mails_before=mails_before)
