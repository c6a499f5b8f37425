"""Self-registered accounts that nobody ever verified: reminding them half-way, and removing them (decisions 35).

Such an account is removed when ``MG_USERS_UNVERIFIED_AFTER`` has passed since its registration, and half of that time
since its reminder. So each account gets a reminder first, also if unverified accounts were allowed until now.

The sweep claims no account before its removal. The statement that deletes accounts checks again whether they are still
unverified, so an account that is verified meanwhile stays.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from background.removal.due import removes_unverified
from background.repository import removals
from background.repository.removals import Position
from users.repository.outbox import record
from users.rules.outbox_records import account_purged, relation_repair, verification_reminder
from users.settings import settings

BATCH = 500


def remind(time_is_left: Callable[[], bool]) -> int:
    """Write the reminders of all accounts whose half time is over, in batches. Return how many."""
    reminded = 0
    while removes_unverified() and time_is_left() and (found := _to_be_reminded()):
        reminded += _write(found, reminded)
    return reminded


def _to_be_reminded() -> list[dict[str, Any]]:
    return removals.find_unreminded(unverified=settings().unverified_after, limit=BATCH)


def _write(found: list[dict[str, Any]], mails_before: int) -> int:
    removal_at = datetime.now(UTC) + timedelta(seconds=settings().unverified_after / 2)
    mails = [{"user_id": row["id"], **asdict(verification_reminder(row["email"], removal_at))} for row in found]
    return removals.remind(mails, mails_before=mails_before)


def remove(time_is_left: Callable[[], bool], detach: Callable[[list[str]], tuple[list[str], bool]]) -> int:
    """Remove the accounts that are due, in batches. Return how many.

    ``detach`` takes accounts out of their domains and removes their relations, with no transaction open. It returns the
    accounts that it has detached, and whether the run goes on. An account that is verified before the deletion stays,
    and gets its relations back.
    """
    removed = 0
    after, goes_on = Position(), removes_unverified()
    while goes_on and time_is_left() and (found := _due(after)):
        after = Position(found[-1]["created_at"], found[-1]["id"])
        detached, goes_on = detach([row["id"] for row in found])
        removed += _delete(detached)
    return removed


def _due(after: Position) -> list[dict[str, Any]]:
    return removals.find_unverified_due(after, unverified=settings().unverified_after, limit=BATCH)


def _delete(ids: list[str]) -> int:
    """Delete those of the accounts that are still due. The others get the relations of their rows back."""
    removed = removals.remove_unverified(ids, unverified=settings().unverified_after, event=account_purged(""))
    if removed < len(ids):
        for user_id in removals.find_there(ids):
            record(user_id, [relation_repair(user_id)])
    return removed
