"""Preparation of an outbox row's mail: address, language and link at the time of sending (decisions 14)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from background.delivery.ports import Row
from background.mail.letter import Letter, deliverable_address
from background.mail.templates import MAILS, language_of, render
from background.mail.templates.names import shown_name
from background.repository import mails
from users.models import Status
from users.rules import one_time_tokens
from users.rules.one_time_tokens import LIFETIMES, Purpose
from users.settings import settings

# The mails with a link, and the purpose of its token.
_PURPOSES: dict[str, Purpose] = {purpose: purpose for purpose in LIFETIMES} | {"verification_reminder": "verification"}

# Keys of a row's payload that are times, and their names in the mails.
_TIMES = {"at": "at", "removal_at": "removal"}


class MalformedRow(Exception):
    """A row from which this version of the code cannot make a mail. The message contains no user data."""


class Suppressed(Exception):
    """A row whose mail would go to an address that gets no mails."""


def prepare(row: Row) -> Letter | None:
    """Store the token of a row's link, and return its mail, or None if the mail is obsolete.

    Suppressed, MalformedRow, or WrongSettings without the secret for the link.
    """
    if row.name not in MAILS:
        raise MalformedRow("unknown mail")
    purpose = _PURPOSES.get(row.name)
    try:
        return _with_link(row, purpose) if purpose else _notice(row)
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedRow("malformed payload") from error


def forget_token(row: Row) -> None:
    """Delete the token of a mail that was not sent. Its lifetime begins when the mail is sent."""
    if purpose := _PURPOSES.get(row.name):
        mails.forget_token(_digest(row, purpose))


def end_older_links(row: Row) -> None:
    """End the older links that the link of a sent mail replaces. Until the mail is sent, the owner has only those."""
    purpose = _PURPOSES.get(row.name)
    if purpose and purpose != "verification":
        mails.end_older_links(_digest(row, purpose))


def _digest(row: Row, purpose: Purpose) -> bytes:
    return one_time_tokens.digest(one_time_tokens.derive(purpose, row.id, row.user_id or ""))


def _with_link(row: Row, purpose: Purpose) -> Letter | None:
    token = one_time_tokens.derive(purpose, row.id, row.user_id or "")
    account = mails.prepare_link(
        row.user_id,
        row.id,
        purpose=purpose,
        email=row.payload.get("email", ""),
        digest=one_time_tokens.digest(token),
        lifetime=LIFETIMES[purpose],
    )
    if account is None:
        return None
    values = {
        "link": link(purpose, token),
        "minutes": _whole(purpose, 60),
        "hours": _whole(purpose, 3600),
        "days": _whole(purpose, 24 * 3600),
        "username": shown_name(account["username"] or "") or "–",
        "registered": _registered(account["registered_at"]),
        **_times(row.payload),
    }
    return _letter(row, account, account["email"], values)


def _notice(row: Row) -> Letter | None:
    account = mails.prepare_notice(row.user_id, row.name, str(row.payload.get("email", "")))
    if account is None:
        return None
    values = _notice_values(row.payload)
    if row.name == "account_removal":
        values["state"] = Status(account["status"]).name.lower()
    return _letter(row, account, row.payload["email"], values)


def _notice_values(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a notice for ``background.mail.templates.render``. Old rows have no times.

    People typed all details except times and the network address.
    """
    details = payload.keys() - {"email", "address", *_TIMES}
    typed = {name: shown_name(payload[name]) for name in details}
    return {"address": str(payload.get("address", "")), **_times(payload), **typed}


def _times(payload: Mapping[str, Any]) -> dict[str, datetime]:
    return {word: datetime.fromisoformat(payload[name]) for name, word in _TIMES.items() if name in payload}


def _registered(moment: datetime | None) -> datetime | str:
    """Return the time in UTC, a dash if none was stored. Upstream's zero time counts as none."""
    return moment.replace(tzinfo=UTC) if moment and moment.year > 1 else "–"


def _letter(row: Row, account: dict[str, Any], stored_address: str, values: dict[str, Any]) -> Letter:
    if account["is_suppressed"]:
        raise Suppressed
    address = deliverable_address(stored_address)
    if address is None:
        raise MalformedRow("address that no mail can be sent to")
    mail = render(row.name, language_of(account["locale"]), user=account["name"], **values)
    return Letter(id=row.id, address=address, mail=mail)


def link(purpose: Purpose, token: str) -> str:
    """Return the link of a mail. It opens the page of the operation that uses the token."""
    s = settings()
    prefix = s.verification_url_prefix if purpose == "verification" else s.password_reset_url_prefix
    return f"{prefix}{'&' if '?' in prefix else '?'}token={token}"


def _whole(purpose: Purpose, seconds: int) -> str:
    return str(LIFETIMES[purpose] // seconds)
