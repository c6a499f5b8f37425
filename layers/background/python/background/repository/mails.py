"""The mails of the outbox: their accounts, the tokens of their links, and the limits of their mailboxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import DictRow

from users.repository.database import query
from users.repository.mails import MAIL_LIMITS
from users.repository.outbox import as_rows, insert_records
from users.repository.statements import Part, Statement
from users.repository.suppressions import is_suppressed
from users.repository.throttles import COUNT_HITS
from users.rules.one_time_tokens import Purpose
from users.rules.outbox_records import Record

_ADDRESSEE = "COALESCE(NULLIF(first_name, ''), username, '') AS name, metadata->>'locale' AS locale"

# The account of a link, unless the mail is obsolete. The account is enabled. A verification is for the
# address that the account still has, unverified. An invitation is for an unverified account, and for the address that
# it names, if any. A reset was requested after the last change of the password. The statement stores the token at the
# first sending, when its time begins (decisions 14). For an address that gets no mails it changes nothing.
_PREPARE_LINK = Statement(
    "prepare_link",
    Part(
        "account",
        f"""
        SELECT *, {is_suppressed("email")} AS is_suppressed FROM users
        WHERE id = %(user_id)s AND status = 0
            AND (%(purpose)s <> 'verification' OR (email = %(email)s AND verified_at IS NULL))
            AND (%(purpose)s <> 'invitation' OR (%(email)s IN ('', email) AND verified_at IS NULL))
            AND (%(purpose)s <> 'password_reset' OR secret_changed_at IS NULL OR secret_changed_at <= (
                SELECT created_at FROM users_outbox WHERE id = %(outbox_id)s::uuid))""",
        gives=("id", "email", "is_suppressed"),
    ),
    Part(
        "stored",
        """
        INSERT INTO users_one_time_tokens (digest, user_id, purpose, email, expires_at)
        SELECT %(digest)s, id, %(purpose)s, email, now() + %(lifetime)s * interval '1 second' FROM account
        WHERE NOT is_suppressed
        ON CONFLICT (digest) DO NOTHING""",
        needs={"account": ("id", "email", "is_suppressed")},
    ),
    f"SELECT {_ADDRESSEE}, email, username, created_at AT TIME ZONE 'UTC' AS registered_at, is_suppressed FROM account",
)

# A notice reports a past change, so it is valid while the account exists. The warning of a removal is valid until the
# account is enabled.
_PREPARE_NOTICE = Statement(
    "prepare_notice",
    f"""
    SELECT {_ADDRESSEE}, status, {is_suppressed("%(email)s::text")} AS is_suppressed FROM users
    WHERE id = %(user_id)s AND (%(name)s <> 'account_removal' OR removal_warned_at IS NOT NULL)""",
)

_FORGET_TOKEN = Statement(
    "forget_token", "DELETE FROM users_one_time_tokens WHERE digest = %(digest)s AND used_at IS NULL"
)

_END_OLDER_LINKS = Statement(
    "end_older_links",
    """
    UPDATE users_one_time_tokens older SET used_at = now() FROM users_one_time_tokens sent
    WHERE sent.digest = %(digest)s AND older.user_id = sent.user_id AND older.purpose = sent.purpose
        AND older.digest <> sent.digest AND older.created_at <= sent.created_at AND older.used_at IS NULL""",
)

_COUNT_MAIL = Statement(
    "count_mail",
    Part(
        "uncounted",
        "SELECT seq, user_id FROM users_outbox WHERE seq = %(seq)s AND counted_at IS NULL FOR UPDATE",
        gives=("seq", "user_id"),
    ),
    Part(
        "wanted",
        """
        SELECT 'mail:' || %(kind)s || ':' || span || ':' || %(mailbox)s AS key, uncounted.user_id, most, seconds
        FROM uncounted,
            (VALUES ('sent-hour', %(hour)s, 3600), ('sent-day', %(day)s, 86400)) AS limits(span, most, seconds)""",
        needs={"uncounted": ("user_id",)},
        gives=("key", "user_id", "most", "seconds"),
        materialized=True,
    ),
    *COUNT_HITS,
    Part(
        "marked",
        """
        UPDATE users_outbox SET counted_at = now()
        WHERE seq = (SELECT seq FROM uncounted) AND (SELECT allowed FROM throttle)""",
        needs={"uncounted": ("seq",), "throttle": ("allowed",)},
    ),
    "SELECT allowed FROM throttle",
)

# The exact spelling of an address wins over the folded one, and that over the canonical one, by which mails are
# counted: all spellings of a domain are one mailbox (S54).
_ANSWER_RESET_REQUEST = Statement(
    "answer_reset_request",
    Part("done", "DELETE FROM users_outbox WHERE seq = %(seq)s RETURNING seq", gives=("seq",)),
    Part(
        "addressee",
        """
                SELECT u.id,
                    u.secret IS NULL AND u.verified_at IS NULL AND COALESCE(u.auth_provider, '') = '' AS is_invited
                FROM users u, done
                WHERE u.status = 0
                    AND (u.email = %(typed)s
                        OR (lower(u.email) IN (lower(%(typed)s), lower(%(email)s)) AND NOT u.case_conflict))
                ORDER BY u.email = %(typed)s DESC, lower(u.email) = lower(%(typed)s) DESC LIMIT 1""",
        needs={"done": ()},
        gives=("id", "is_invited"),
    ),
    MAIL_LIMITS,
    *COUNT_HITS,
    Part(
        "changed",
        "SELECT addressee.id, is_invited FROM addressee, throttle WHERE throttle.allowed",
        needs={"addressee": ("id", "is_invited"), "throttle": ("allowed",)},
        gives=("id", "is_invited"),
    ),
    insert_records(
        "r.name <> CASE WHEN changed.is_invited THEN 'password_reset' ELSE 'invitation' END", columns=("is_invited",)
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailLimit:
    """The most mails of a kind to a mailbox in an hour, and in a day."""

    hour: int
    day: int


def prepare_link(
    user_id: str | None, outbox_id: str, *, purpose: Purpose, email: str, digest: bytes, lifetime: int
) -> DictRow | None:
    """Store the token of a link, and return its account, or None if the mail is obsolete."""
    parameters: dict[str, Any] = {
        "user_id": user_id,
        "outbox_id": outbox_id,
        "purpose": purpose,
        "email": email,
        "digest": digest,
        "lifetime": lifetime,
    }
    rows = query(_PREPARE_LINK, parameters, read_only=False)
    return rows[0] if rows else None


def prepare_notice(user_id: str | None, name: str, email: str) -> DictRow | None:
    """Return the account of a notice, None if the mail is obsolete."""
    rows = query(_PREPARE_NOTICE, {"user_id": user_id, "name": name, "email": email}, read_only=True)
    return rows[0] if rows else None


def forget_token(digest: bytes) -> None:
    """Delete the token of a mail that was not sent."""
    query(_FORGET_TOKEN, {"digest": digest}, read_only=False)


def end_older_links(digest: bytes) -> None:
    """End the older links of the account that have the purpose of this token."""
    query(_END_OLDER_LINKS, {"digest": digest}, read_only=False)


def count_mail(seq: int, kind: str, mailbox: str, limit: MailLimit) -> bool:
    """Count the mail of an outbox row against the limit of its mailbox. Return False if it must not be sent.

    Return True for a row that was counted before.
    """
    parameters = {"seq": seq, "kind": kind, "mailbox": mailbox, "hour": limit.hour, "day": limit.day}
    allowed: bool = query(_COUNT_MAIL, parameters, read_only=False)[0]["allowed"]
    return allowed


def answer_reset_request(seq: int, *, typed: str, canonical: str, mailbox: str, records: Sequence[Record]) -> None:
    """Find the enabled account of an address, write its mail and event, and delete the request ``seq``.

    ``records`` hold a reset mail and an invitation: the statement leaves out the one that does not fit the account.
    Nothing is written for an address of no enabled account, or of a mailbox that just got such a mail.
    """
    parameters = {
        "seq": seq,
        "typed": typed,
        "email": canonical,
        "mailbox": mailbox,
        "kind": "password_reset",
        "records": as_rows(records),
    }
    query(_ANSWER_RESET_REQUEST, parameters, read_only=False)
