"""Addresses that get no mails: SES reported that they do not exist, or that their readers complained.

A row is about an address and not about an account, and no answer of the API depends on it. It is deleted with the
account that had the address at the report, with the account that has the address, or after ``LIFETIME``: the mailbox
may exist again. SES keeps a list of its own, so that the next mail costs no reputation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from background.mail.letter import deliverable_address
from background.repository import suppressions as rows

LIFETIME = 180  # days
Reason = Literal["bounce", "complaint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """An address that gets no mails until ``expires_at``. ``feedback_id`` is the id of SES' report."""

    address: str
    reason: Reason
    feedback_id: str
    created_at: datetime
    expires_at: datetime


def suppress(addresses: Sequence[str], reason: Reason, feedback_id: str) -> int:
    """Send no more mails to addresses. Return the number of new or renewed rows, 0 for a repeated report.

    ValueError for a text that is no address.
    """
    spellings = [spelling for address in addresses for spelling in _spellings(address)]
    return rows.suppress(spellings, reason=reason, feedback_id=feedback_id, days=LIFETIME)


def suppressions(*, limit: int) -> list[Suppression]:
    """Return the newest suppressions."""
    return [Suppression(**row) for row in rows.newest(limit=limit)]


def lift(address: str) -> list[str]:
    """Send mails to an address again, and return the removed rows. ValueError for a text that is no address."""
    return rows.lift(_spellings(address))


def _spellings(address: str) -> list[str]:
    """Return how an account may spell the address of a sent mail: with its domain in Punycode, or in letters."""
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
