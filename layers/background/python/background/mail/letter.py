"""A mail with its receiver, and the interface of senders."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Protocol

from background.delivery.ports import DestinationUnavailable
from background.mail.templates import Mail
from users.settings import settings

# The parser of email.headerregistry does not do: it accepts `a b@c` by guessing, and fails on some typed texts.
_ATOM = r"[^\s()<>\[\]:;@\\,\".\x00-\x20\x7f]+"
_ADDRESS = rf"{_ATOM}(?:\.{_ATOM})*@{_ATOM}(?:\.{_ATOM})*"
_NAME = r"(?:\"(?:[^\"\\\r\n]|\\[^\r\n])*\"|[^<>@,;:\"\r\n])*"
_STORED = re.compile(rf"[ \t]*(?:(?P<bare>{_ADDRESS})(?:[ \t]*\([^()\r\n]*\))?|{_NAME}<(?P<angle>{_ADDRESS})>)[ \t]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail to send. ``id`` is the outbox row's, the same at a repeated delivery. ``address`` is in SMTP's form."""

    id: str
    address: str
    mail: Mail


class Sender(Protocol):
    """A service that sends mails."""

    def send(self, letter: Letter) -> str:
        """Send. Return the reason of a refusal, else "". DestinationUnavailable when no mail can be sent."""

    def close(self) -> None:
        """Close the connection. The next ``send`` opens another."""


def sender_address() -> str:
    """Return ``MG_EMAIL_FROM_ADDRESS`` in SMTP's form. DestinationUnavailable when it is not set, or no address."""
    address = deliverable_address(settings().email_from_address)
    if address is None:
        raise DestinationUnavailable("MG_EMAIL_FROM_ADDRESS is not set, or no address")
    return address


def deliverable_address(stored: str) -> str | None:
    """Return ``local@domain``, the domain in Punycode, of a stored address. None unless it is exactly one.

    Upstream stores the typed text, which may be ``Ada <ada@example.com>`` (contract §1.7). Upstream also accepts quoted
    local parts, domain literals and groups. They get no mails here.
    """
    found = _STORED.fullmatch(stored)
    if not found:
        return None
    local, _, domain = (found["bare"] or found["angle"]).rpartition("@")
    if not local.isprintable():
        return None
    try:
        return f"{local}@{'.'.join(_ascii_label(label) for label in domain.split('.'))}"
    except UnicodeError:
        return None


def _ascii_label(label: str) -> str:
    folded = unicodedata.normalize("NFC", label.lower())
    if "ß" in folded or "ς" in folded:
        # The codec implements IDNA 2003, which replaces them by ss and σ: somebody else's domain.
        return "xn--" + folded.encode("punycode").decode()
    return label.encode("idna").decode()
