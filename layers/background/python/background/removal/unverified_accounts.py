"""Self-registered accounts that nobody ever verified: reminding them half-way, and removing them (decisions 35).

Such an account is removed when ``MG_USERS_UNVERIFIED_AFTER`` has passed since its registration, and half of that time
since its reminder. So each account gets a reminder first, also where unverified accounts were allowed until now.

No account is claimed before its removal. The statement that deletes accounts looks once more whether they are still
unverified, so that an account that is verified meanwhile stays.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from background.removal.due import UNVERIFIED_DUE, removes_unverified
from background.removal.removal_warnings import write_mails
from users.repository import purges
from users.repository.database import query
from users.repository.outbox import record
from users.repository.purges import NEVER_VERIFIED
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
    statement = f"""
        SELECT u.id, u.email FROM users u
        WHERE {NEVER_VERIFIED} AND u.verification_reminded_at IS NULL
            AND u.created_at <= now() - %(unverified)s / 2 * interval '1 second'
        ORDER BY u.created_at, u.id LIMIT {BATCH}"""
    return query(statement, {"unverified": settings().unverified_after}, read_only=True)


def _write(found: list[dict[str, Any]], mails_before: int) -> int:
    """Mark accounts as reminded, and write their mails, unless they were verified or reminded meanwhile; how many."""
    removal_at = datetime.now(UTC) + timedelta(seconds=settings().unverified_after / 2)
    mails = [{"user_id": row["id"], **asdict(verification_reminder(row["email"], removal_at))} for row in found]
    condition = f"{NEVER_VERIFIED} AND u.verification_reminded_at IS NULL"
    return write_mails(mails, marks="verification_reminded_at", condition=condition, mails_before=mails_before)


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
    """The next batch in the order of registration, so that accounts that fail hold up no others."""
    statement = f"""
        SELECT u.id, u.created_at::text AS created_at FROM users u
        WHERE {UNVERIFIED_DUE} AND (u.created_at, u.id) > (%(created_at)s::timestamptz, %(id)s)
        ORDER BY u.created_at, u.id LIMIT {BATCH}"""
    parameters = {"unverified": settings().unverified_after, "created_at": after[0], "id": after[1]}
    return query(statement, parameters, read_only=True)


def _delete(ids: list[str]) -> int:
    """Delete those of the accounts that are still due; the others get the relations that their rows say."""
    chosen = f"SELECT u.id FROM users u WHERE u.id = ANY(%(ids)s) AND {UNVERIFIED_DUE} FOR UPDATE"
    parameters = {"ids": ids, "unverified": settings().unverified_after}
    removed = purges.remove_chosen(chosen, parameters, account_purged(""))
    if removed < len(ids):
        left = query("SELECT id FROM users WHERE id = ANY(%(ids)s)", {"ids": ids}, read_only=True)
        for row in left:
            record(row["id"], [relation_repair(row["id"])])
    return removed
