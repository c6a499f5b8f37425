"""How many mails of a kind a mailbox gets, counted as they are sent (decisions.md 34; security.md S53).

What asks for a mail has limits of its own, but many accounts and many ways of asking may lead to one mailbox. A mail is
counted once, however often it is tried. Each kind has its own count, so that a flood of one kind hides none of another.
The counts outlive the account: who removes it and registers again gets no new ones.
"""

from background.delivery.ports import Row
from background.repository import mails
from background.repository.mails import MailLimit
from users.rules.mailboxes import mailbox_digest
from users.rules.one_time_tokens import LIFETIMES

# In an hour, and in a day. A mail with a link is asked for five times an hour at most (repository.mails). An hour has
# room for those that were asked for in one hour and are sent in the next. A day has room for all of them. Otherwise a
# stranger who asks as often as that would keep the owner from any link for the rest of the day.
_LINKS = MailLimit(hour=10, day=130)
_NOTICES = MailLimit(hour=5, day=20)


def count_mail(row: Row, address: str) -> bool:
    """Count the mail of an outbox row against the limits of ``address``. Return False if it must not be sent.

    ``address`` is as SMTP takes it, so that all spellings of a domain are one mailbox. True for a row that was counted.
    """
    return mails.count_mail(row.seq, row.name, mailbox_digest(address), limit_of(row.name))


def limit_of(name: str) -> MailLimit:
    """Return the limit of a kind of mail."""
    return _LINKS if name in LIFETIMES else _NOTICES
