"""Addresses that get no mails: SES told that they do not exist, or that their readers complained.

A row says nothing about an account, and no answer of the API depends on one. It goes with the account that had the
address when SES told, with the one that has it, or after ``LIFETIME``: a mailbox may be there again. SES keeps a list
of its own, so that the next mail costs no reputation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from background.mail.letter import deliverable_address
from users.repository.database import query

LIFETIME = 180  # days
Reason = Literal["bounce", "complaint"]

# In the order of the addresses, so that two at once do not wait for each other.
_SUPPRESS = """
    INSERT INTO users_mail_suppressions AS s (address, reason, feedback_id, user_id, expires_at)
    SELECT DISTINCT ON (address) address, %(reason)s, %(feedback_id)s, u.id, now() + %(lifetime)s * interval '1 day'
    FROM unnest(%(addresses)s::text[]) AS told, lower(told) AS address
        LEFT JOIN users u ON lower(u.email) = address AND NOT u.case_conflict
    ORDER BY address
    ON CONFLICT (address) DO UPDATE SET reason = EXCLUDED.reason, feedback_id = EXCLUDED.feedback_id,
        user_id = COALESCE(EXCLUDED.user_id, s.user_id), created_at = now(), expires_at = EXCLUDED.expires_at
    WHERE s.feedback_id <> EXCLUDED.feedback_id
    RETURNING address"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """An address that gets no mails until ``expires_at``. ``feedback_id`` is SES' name of what it told."""

    address: str
    reason: Reason
    feedback_id: str
    created_at: datetime
    expires_at: datetime


def suppress(addresses: Sequence[str], reason: Reason, feedback_id: str) -> int:
    """Send no more mails to addresses; how many rows that made or renewed: none for what was told before.

    Raises ValueError for what is no address.
    """
    told = [spelling for address in addresses for spelling in _spellings(address)]
    parameters = {"addresses": told, "reason": reason, "feedback_id": feedback_id, "lifetime": LIFETIME}
    return len(query(_SUPPRESS, parameters, read_only=False))


def suppressions(*, limit: int) -> list[Suppression]:
    """The newest ones."""
    statement = """
        SELECT address, reason, feedback_id, created_at, expires_at FROM users_mail_suppressions
        WHERE expires_at > now() ORDER BY created_at DESC, address LIMIT %(limit)s"""
    return [Suppression(**row) for row in query(statement, {"limit": limit}, read_only=True)]


def lift(address: str) -> list[str]:
    """Send mails to an address again; the rows that this removed. Raises ValueError for what is no address."""
    statement = """
        DELETE FROM users_mail_suppressions
        WHERE address IN (SELECT lower(told) FROM unnest(%(addresses)s::text[]) AS told) RETURNING address"""
    return [row["address"] for row in query(statement, {"addresses": _spellings(address)}, read_only=False)]


def _spellings(address: str) -> list[str]:
    """How an account may hold the address that a mail was sent to: its domain in Punycode, or in letters."""
    sent_to = deliverable_address(address)
    if sent_to is None:
        raise ValueError("not one address that mails can be sent to")
    local, _, domain = sent_to.rpartition("@")
    read = ".".join(_letters(label) for label in domain.split("."))
    return [sent_to] if read == domain else [sent_to, f"{local}@{read}"]


def _letters(label: str) -> str:
    if not label.lower().startswith("xn--"):
        return label
    try:
        return label[4:].encode().decode("punycode")
    except UnicodeError:
        return label
