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
from background.repository import suppressions as rows

LIFETIME = 180  # days
Reason = Literal["bounce", "complaint"]


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
    return rows.suppress(told, reason=reason, feedback_id=feedback_id, days=LIFETIME)


def suppressions(*, limit: int) -> list[Suppression]:
    """The newest ones."""
    return [Suppression(**row) for row in rows.newest(limit=limit)]


def lift(address: str) -> list[str]:
    """Send mails to an address again; the rows that this removed. Raises ValueError for what is no address."""
    return rows.lift(_spellings(address))


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
