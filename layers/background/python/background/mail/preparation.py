"""Making the mail of an outbox row: whom it goes to now, in which language, with which link (decisions 14)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from background.delivery.ports import Row
from background.mail.letter import Letter, deliverable_address
from background.mail.templates import MAILS, language_of, render
from background.mail.templates.names import shown_name
from users.models import Status
from users.repository.database import query
from users.repository.suppressions import is_suppressed
from users.rules import one_time_tokens
from users.rules.one_time_tokens import LIFETIMES, Purpose
from users.settings import settings

# The mails with a link, and what its token is for.
_PURPOSES: dict[str, Purpose] = {purpose: purpose for purpose in LIFETIMES} | {"verification_reminder": "verification"}
_ADDRESSEE = "COALESCE(NULLIF(first_name, ''), username, '') AS name, metadata->>'locale' AS locale"

# The account that a link is for, as long as the mail still makes sense: it is enabled; a verification is for the
# address it still has, unverified; an invitation is for an unverified account, and for the address that it names, if
# any; a reset was asked for after the last change of the password. With it the token is stored, at the first sending,
# which is when its time begins (decisions 14). An address that gets no mails changes nothing.
_PREPARE_LINK = f"""
    WITH account AS (
        SELECT *, {is_suppressed("email")} AS is_suppressed FROM users
        WHERE id = %(user_id)s AND status = 0
            AND (%(purpose)s <> 'verification' OR (email = %(email)s AND verified_at IS NULL))
            AND (%(purpose)s <> 'invitation' OR (%(email)s IN ('', email) AND verified_at IS NULL))
            AND (%(purpose)s <> 'password_reset' OR secret_changed_at IS NULL OR secret_changed_at <= (
                SELECT created_at FROM users_outbox WHERE id = %(outbox_id)s::uuid))
    ), stored AS (
        INSERT INTO users_one_time_tokens (digest, user_id, purpose, email, expires_at)
        SELECT %(digest)s, id, %(purpose)s, email, now() + %(lifetime)s * interval '1 second' FROM account
        WHERE NOT is_suppressed
        ON CONFLICT (digest) DO NOTHING
    )
    SELECT {_ADDRESSEE}, email, username, created_at AT TIME ZONE 'UTC' AS registered_at, is_suppressed FROM account"""

# A new token of a reset or an invitation ends the older ones (decisions 14).
_END_OLDER = """
    UPDATE users_one_time_tokens older SET used_at = now() FROM users_one_time_tokens sent
    WHERE sent.digest = %(digest)s AND older.user_id = sent.user_id AND older.purpose = sent.purpose
        AND older.digest <> sent.digest AND older.created_at <= sent.created_at AND older.used_at IS NULL"""

# A notice tells of what has happened, so it makes sense as long as there is an account; the warning of a removal, as
# long as nobody has enabled it.
_PREPARE_NOTICE = f"""
    SELECT {_ADDRESSEE}, status, {is_suppressed("%(email)s::text")} AS is_suppressed FROM users
    WHERE id = %(user_id)s AND (%(name)s <> 'account_removal' OR removal_warned_at IS NOT NULL)"""

# Keys of a row's payload that are times, and what the mails call them.
_TIMES = {"at": "at", "removal_at": "removal"}


class MalformedRow(Exception):
    """A row that no mail can be made of, by this version of the code at least; the message holds no user's data."""


class Suppressed(Exception):
    """A row whose mail would go to an address that gets none."""


def prepare(row: Row) -> Letter | None:
    """The mail of a row, the token of its link stored; None when it makes no sense any more.

    Raises Suppressed, MalformedRow, and SettingsError when there is no secret to make a link with.
    """
    if row.name not in MAILS:
        raise MalformedRow("unknown mail")
    purpose = _PURPOSES.get(row.name)
    try:
        return _with_link(row, purpose) if purpose else _notice(row)
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedRow("malformed payload") from error


def forget_token(row: Row) -> None:
    """Take back the token of a mail that was not sent: its time begins when it is."""
    if purpose := _PURPOSES.get(row.name):
        statement = "DELETE FROM users_one_time_tokens WHERE digest = %(digest)s AND used_at IS NULL"
        query(statement, {"digest": _digest(row, purpose)}, read_only=False)


def end_older_links(row: Row) -> None:
    """End the links that the one of a mail replaces. Only once it was sent: the owner has no other one before."""
    purpose = _PURPOSES.get(row.name)
    if purpose and purpose != "verification":
        query(_END_OLDER, {"digest": _digest(row, purpose)}, read_only=False)


def _digest(row: Row, purpose: Purpose) -> bytes:
    return one_time_tokens.digest(one_time_tokens.derive(purpose, row.id, row.user_id or ""))


def _with_link(row: Row, purpose: Purpose) -> Letter | None:
    token = one_time_tokens.derive(purpose, row.id, row.user_id or "")
    parameters = {
        "user_id": row.user_id,
        "outbox_id": row.id,
        "purpose": purpose,
        "email": row.payload.get("email", ""),
        "digest": one_time_tokens.digest(token),
        "lifetime": LIFETIMES[purpose],
    }
    found = query(_PREPARE_LINK, parameters, read_only=False)
    if not found:
        return None
    values = {
        "link": link(purpose, token),
        "minutes": _whole(purpose, 60),
        "hours": _whole(purpose, 3600),
        "days": _whole(purpose, 24 * 3600),
        "username": shown_name(found[0]["username"] or "") or "–",
        "registered": _registered(found[0]["registered_at"]),
        **_times(row.payload),
    }
    return _letter(row, found[0], found[0]["email"], values)


def _notice(row: Row) -> Letter | None:
    parameters = {"user_id": row.user_id, "name": row.name, "email": str(row.payload.get("email", ""))}
    found = query(_PREPARE_NOTICE, parameters, read_only=True)
    if not found:
        return None
    values = _told(row.payload)
    if row.name == "account_removal":
        values["state"] = Status(found[0]["status"]).name.lower()
    return _letter(row, found[0], row.payload["email"], values)


def _told(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a notice says, for ``background.mail.templates.render``; rows of before the times were told have none.

    Details other than times and the network address were typed by somebody.
    """
    details = payload.keys() - {"email", "address", *_TIMES}
    typed = {name: shown_name(payload[name]) for name in details}
    return {"address": str(payload.get("address", "")), **_times(payload), **typed}


def _times(payload: Mapping[str, Any]) -> dict[str, datetime]:
    return {word: datetime.fromisoformat(payload[name]) for name, word in _TIMES.items() if name in payload}


def _registered(moment: datetime | None) -> datetime | str:
    """The time in UTC; a dash where none was stored (upstream's zero time is none)."""
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
    """The link that a mail carries; it opens the page of the operation that uses the token."""
    s = settings()
    prefix = s.verification_url_prefix if purpose == "verification" else s.password_reset_url_prefix
    return f"{prefix}{'&' if '?' in prefix else '?'}token={token}"


def _whole(purpose: Purpose, seconds: int) -> str:
    return str(LIFETIMES[purpose] // seconds)
