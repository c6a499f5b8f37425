"""A mail with its receiver, and what sends it."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Protocol

from background.delivery.ports import DestinationUnavailable
from background.mail.templates import Mail
from users.settings import settings

# Not the parser of email.headerregistry: it guesses what was meant by `a b@c`, and fails on what people may have typed.
_ATOM = r"[^\s()<>\[\]:;@\\,\".\x00-\x20\x7f]+"
_ADDRESS = rf"{_ATOM}(?:\.{_ATOM})*@{_ATOM}(?:\.{_ATOM})*"
_NAME = r"(?:\"(?:[^\"\\\r\n]|\\[^\r\n])*\"|[^<>@,;:\"\r\n])*"
_STORED = re.compile(rf"[ \t]*(?:(?P<bare>{_ADDRESS})(?:[ \t]*\([^()\r\n]*\))?|{_NAME}<(?P<angle>{_ADDRESS})>)[ \t]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail to send. ``id`` is the outbox row's: a repeated delivery has the same. ``address`` is as SMTP takes it."""

    id: str
    address: str
    mail: Mail


class Sender(Protocol):
    """A way to send mails."""

    def send(self, letter: Letter) -> str:
        """Send; why this one is refused, empty when it was taken. DestinationUnavailable when none can be sent."""

    def close(self) -> None:
        """Hang up; the next ``send`` connects again."""


def sender_address() -> str:
    """``MG_EMAIL_FROM_ADDRESS`` as SMTP takes it. DestinationUnavailable when it is not set, or no address."""
    address = deliverable_address(settings().email_from_address)
    if address is None:
        raise DestinationUnavailable("MG_EMAIL_FROM_ADDRESS is not set, or no address")
    return address


def deliverable_address(stored: str) -> str | None:
    """``local@domain``, the domain in Punycode, of an address as upstream stores it; None when it is not exactly one.

    Upstream keeps what was typed, which may be ``Ada <ada@example.com>`` (contract §1.7). Quoted local parts, domain
    literals and groups, which it takes as well, are not sent to.
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
        # IDNA 2003, which the codec knows, would make ss and σ of them: somebody else's domain.
        return "xn--" + folded.encode("punycode").decode()
    return label.encode("idna").decode()
