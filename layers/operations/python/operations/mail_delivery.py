"""Sending the outbox's mails by SES (decisions.md 14, 28)."""

from collections.abc import Iterator
from email.utils import formataddr
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from operations.mails import Mail, render
from operations.relay import DestinationUnavailable, Outcome, Row
from users import one_time_tokens
from users.database import query
from users.one_time_tokens import Purpose
from users.settings import SettingsError, settings

# What SES refuses because of this one mail; every other answer is about SES, its limits or our account there.
_REFUSALS = {"MessageRejected", "BadRequestException"}
_TIMEOUTS = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2})

# The account that a mail is for, as long as the mail still makes sense: it is enabled, and a verification is for the
# address it still has, unverified. With it the token is stored, at the first sending, which is when its time begins;
# a new reset token ends the older ones (decisions.md 14).
_PREPARE = """
    WITH account AS (
        SELECT id, username, first_name, email FROM users
        WHERE id = %(user_id)s AND status = 0
            AND (%(purpose)s <> 'verification' OR (email = %(email)s AND verified_at IS NULL))
    ), stored AS (
        INSERT INTO users_one_time_tokens (digest, user_id, purpose, email, expires_at)
        SELECT %(digest)s, id, %(purpose)s, email, now() + %(lifetime)s * interval '1 second' FROM account
        ON CONFLICT (digest) DO NOTHING
        RETURNING digest
    ), superseded AS (
        UPDATE users_one_time_tokens SET used_at = now()
        WHERE user_id = %(user_id)s AND purpose = %(purpose)s AND %(purpose)s = 'password_reset' AND used_at IS NULL
            AND EXISTS (SELECT FROM stored)
    )
    SELECT COALESCE(NULLIF(first_name, ''), username) AS name, email FROM account"""


class MailChannel:
    """SES, by the credentials and the region of the function."""

    def __init__(self) -> None:
        """Make the client; ``AWS_ENDPOINT_URL_SESV2`` may point elsewhere."""
        self._ses: Any = boto3.client("sesv2", config=_TIMEOUTS)

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Send each mail that still makes sense; one that does not is done with."""
        for row in rows:
            yield self._send(row)

    def _send(self, row: Row) -> Outcome:
        if not settings().email_from_address:
            raise DestinationUnavailable("MG_EMAIL_FROM_ADDRESS is not set")
        try:
            prepared = _prepare(row)
        except SettingsError as error:
            raise DestinationUnavailable(str(error)) from error
        if prepared is None:
            return Outcome(row)
        address, mail = prepared
        try:
            self._ses.send_email(**_message(address, mail))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _REFUSALS:
                return Outcome(row, code)
            raise DestinationUnavailable(code) from error
        except BotoCoreError as error:
            raise DestinationUnavailable(type(error).__name__) from error
        return Outcome(row)


def _prepare(row: Row) -> tuple[str, Mail] | None:
    """The address and the mail of a row, its token stored; None when the mail makes no sense any more."""
    purpose: Purpose = "password_reset" if row.name == "password_reset" else "verification"
    token = one_time_tokens.derive(purpose, row.id, row.user_id or "")
    parameters = {
        "user_id": row.user_id,
        "purpose": purpose,
        "email": row.payload.get("email", ""),
        "digest": one_time_tokens.digest(token),
        "lifetime": one_time_tokens.LIFETIMES[purpose],
    }
    found = query(_PREPARE, parameters, read_only=False)
    if not found:
        return None
    s = settings()
    prefix = s.password_reset_url_prefix if purpose == "password_reset" else s.verification_url_prefix
    link = f"{prefix}{'&' if '?' in prefix else '?'}token={token}"
    return found[0]["email"], render(row.name, {"user": found[0]["name"] or "", "link": link})


def _message(address: str, mail: Mail) -> dict[str, Any]:
    """The parameters of SES' SendEmail."""
    s = settings()
    return {
        "FromEmailAddress": formataddr((s.email_from_name, s.email_from_address)),
        "Destination": {"ToAddresses": [_ascii_domain(address)]},
        "Content": {
            "Simple": {
                "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": mail.text, "Charset": "UTF-8"},
                    "Html": {"Data": mail.html, "Charset": "UTF-8"},
                },
            }
        },
    }


def _ascii_domain(address: str) -> str:
    """The address with its domain in Punycode, which SES asks for; unchanged when there is no such form."""
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        return address
