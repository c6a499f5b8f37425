"""Self-registered accounts that nobody ever verified: reminding them half-way, and removing them (decisions.md 35).

Such an account is removed when ``MG_USERS_UNVERIFIED_AFTER`` has passed since its registration, and half of that time
since its reminder. So each account gets a reminder first, also where unverified accounts were allowed until now.

No account is claimed before its removal. The statement that deletes accounts looks once more whether they are still
unverified, so that an account that is verified meanwhile stays.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from background.removal.due import removes_unverified
from background.repository import removals
from users.repository.outbox import record
from users.rules.outbox_records import account_purged, relation_repair, verification_reminder
from users.settings import settings

BATCH = 500


def remind(time_is_left: Callable[[], bool]) -> int:
    """Write the reminders of all accounts whose half time is over, in batches; how many."""
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
    """Remove what is due, in batches; how many.

    ``detach`` takes accounts out of their domains and relations, with no transaction open. It returns those of which
    that is done, and whether it may be asked for more. An account that is verified before the deletion stays, and gets
    its relations back.
    """
    removed = 0
    after, goes_on = ("-infinity", ""), removes_unverified()
    while goes_on and time_is_left() and (found := _due(after)):
        after = (found[-1]["created_at"], found[-1]["id"])
        detached, goes_on = detach([row["id"] for row in found])
        removed += _delete(detached)
    return removed


def _due(after: tuple[str, str]) -> list[dict[str, Any]]:
    return removals.find_unverified_due(after, unverified=settings().unverified_after, limit=BATCH)


def _delete(ids: list[str]) -> int:
    """Delete those of the accounts that are still due. The others get the relations of their rows back."""
    removed = removals.remove_unverified(ids, unverified=settings().unverified_after, event=account_purged(""))
    if removed < len(ids):
        for user_id in removals.find_there(ids):
            record(user_id, [relation_repair(user_id)])
    return removed
