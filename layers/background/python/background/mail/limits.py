"""How many mails of a kind a mailbox gets, counted as they are sent (decisions 34; S53).

What asks for a mail has limits of its own, but many accounts and many ways of asking may lead to one mailbox. A mail is
counted once, however often it is tried. Each kind has its own count, so that a flood of one kind hides none of another.
The counts outlive the account: who removes it and registers again gets no new ones.
"""

from typing import Any

from background.delivery.ports import Row
from users.repository.database import query
from users.repository.throttles import COUNT_HITS
from users.rules.mailboxes import mailbox_digest
from users.rules.one_time_tokens import LIFETIMES

# In an hour, and in a day. A mail with a link is asked for five times an hour at most (repository.mails). An hour has
# room for those that were asked for in one hour and are sent in the next. A day has room for all of them. Otherwise a
# stranger who asks as often as that would keep the owner from any link for the rest of the day.
_LINKS = (10, 130)
_NOTICES = (5, 20)

_COUNT = f"""
    WITH uncounted AS (
        SELECT seq, user_id FROM users_outbox WHERE seq = %(seq)s AND counted_at IS NULL FOR UPDATE
    ), wanted AS MATERIALIZED (
        SELECT 'mail:' || %(kind)s || ':' || span || ':' || %(mailbox)s AS key, uncounted.user_id, most, seconds
        FROM uncounted,
            (VALUES ('sent-hour', %(hour)s, 3600), ('sent-day', %(day)s, 86400)) AS limits(span, most, seconds)
    ), {COUNT_HITS}, marked AS (
        UPDATE users_outbox SET counted_at = now()
        WHERE seq = (SELECT seq FROM uncounted) AND (SELECT allowed FROM throttle)
    )
    SELECT allowed FROM throttle"""


def count_mail(row: Row, address: str) -> bool:
    """Count the mail of an outbox row against the limits of ``address``; False when it is not to be sent.

    ``address`` is as SMTP takes it, so that all spellings of a domain are one mailbox. True for a row that was counted.
    """
    allowed: bool = query(_COUNT, _parameters(row, address), read_only=False)[0]["allowed"]
    return allowed


def _parameters(row: Row, address: str) -> dict[str, Any]:
    hour, day = _LINKS if row.name in LIFETIMES else _NOTICES
    return {"seq": row.seq, "kind": row.name, "mailbox": mailbox_digest(address), "hour": hour, "day": day}
