"""The limits of mails of a kind to a mailbox, counted when they are sent (decisions 34, S53).

The operations that ask for a mail have limits of their own, but many accounts and operations may lead to one mailbox. A
mail is counted once, however often the relay tries it. Each kind has its own count, so a flood of one kind suppresses
no other. The counts outlive the account: removing it and registering again starts no new count.
"""

from background.delivery.ports import Row
from background.repository import mails
from background.repository.mails import MailLimit
from users.rules.mailboxes import mailbox_digest
from users.rules.one_time_tokens import LIFETIMES

# A mail with a link can be requested five times an hour (repository.mails). An hour has room for those that were
# requested in one hour and are sent in the next. A day has room for all of them. Otherwise a stranger who requests that
# many would keep the owner from any link for the rest of the day.
_LINKS = MailLimit(hour=10, day=130)
_NOTICES = MailLimit(hour=5, day=20)


def count_mail(row: Row, address: str) -> bool:
    """Count the mail of an outbox row against the limits of ``address``. Return False if it must not be sent.

    ``address`` is in SMTP's form, so that all spellings of a domain are one mailbox. Return True for a counted row.
    """
    return mails.count_mail(row.seq, row.name, mailbox_digest(address), limit_of(row.name))


def limit_of(name: str) -> MailLimit:
    """Return the limit of a kind of mail."""
    return _LINKS if name in LIFETIMES else _NOTICES
