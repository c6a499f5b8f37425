"""Using the tokens of mail links: each once, by one atomic statement (security.md S22–S25)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from users.database import query
from users.one_time_tokens import Purpose, digest
from users.outbox import Record
from users.repository.changes import FORGET_FAILED_LOGINS, NEXT_SECOND
from users.repository.outbox import INSERT_RECORDS, as_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The enabled account that an unused, unexpired token is for; ``secret_hash`` is empty when it has no password."""

    user_id: str
    username: str
    email: str
    secret_hash: str


def find_holder(token: str, purpose: Purpose) -> Holder | None:
    """Whose token it is, while it can be used."""
    rows = query(
        "SELECT u.id AS user_id, COALESCE(u.username, '') AS username, u.email, COALESCE(u.secret, '') AS secret_hash"
        " FROM users_one_time_tokens t JOIN users u ON u.id = t.user_id"
        " WHERE t.digest = %(digest)s AND t.purpose = %(purpose)s AND t.used_at IS NULL AND t.expires_at > now()"
        " AND u.status = 0 AND (u.email = t.email OR t.purpose <> 'verification')",
        {"digest": digest(token), "purpose": purpose},
        read_only=True,
    )
    return Holder(**rows[0]) if rows else None


def is_known(token: str, purpose: Purpose) -> bool:
    """Whether the token was ever made, though it may be used or expired."""
    statement = "SELECT 1 FROM users_one_time_tokens WHERE digest = %(digest)s AND purpose = %(purpose)s"
    return bool(query(statement, {"digest": digest(token), "purpose": purpose}, read_only=True))


def use_for_verification(token: str, records: Sequence[Record], *, at: datetime) -> bool:
    """Verify the address that the token was mailed to. False when it cannot be used, or can no more.

    All verification tokens of that address are used up with it (decisions.md 14).
    """
    statement = f"""
        WITH used AS (
            UPDATE users_one_time_tokens SET used_at = now()
            WHERE digest = %(digest)s AND purpose = 'verification' AND used_at IS NULL AND expires_at > now()
            RETURNING user_id, email
        ), others AS (
            UPDATE users_one_time_tokens t SET used_at = now() FROM used
            WHERE t.user_id = used.user_id AND t.email = used.email AND t.purpose = 'verification'
                AND t.used_at IS NULL AND t.digest <> %(digest)s
        ), changed AS (
            UPDATE users u SET verified_at = %(at)s FROM used
            WHERE u.id = used.user_id AND u.email = used.email AND u.status = 0
            RETURNING u.id
        ), recorded AS ({INSERT_RECORDS})
        SELECT id FROM changed"""
    parameters = {"digest": digest(token), "at": at, "records": as_rows(records)}
    return bool(query(statement, parameters, read_only=False))


def use_for_reset(token: str, new_hash: str, records: Sequence[Record], *, at: datetime) -> bool:
    """Set the password of the token's account, end its sessions and its other reset links. False when it is used."""
    statement = f"""
        WITH used AS (
            UPDATE users_one_time_tokens SET used_at = now()
            WHERE digest = %(digest)s AND purpose = 'password_reset' AND used_at IS NULL AND expires_at > now()
            RETURNING user_id
        ), others AS (
            UPDATE users_one_time_tokens t SET used_at = now() FROM used
            WHERE t.user_id = used.user_id AND t.purpose = 'password_reset' AND t.used_at IS NULL
                AND t.digest <> %(digest)s
        ), changed AS (
            UPDATE users u SET secret = %(new_hash)s, secret_changed_at = %(at)s, updated_at = %(at)s,
                updated_by = u.id, tokens_valid_from = {NEXT_SECOND}
            WHERE u.id = (SELECT id FROM users WHERE id = (SELECT user_id FROM used) FOR NO KEY UPDATE) AND u.status = 0
            RETURNING u.id
        ), {FORGET_FAILED_LOGINS}, recorded AS ({INSERT_RECORDS})
        SELECT id FROM changed"""
    parameters = {"digest": digest(token), "new_hash": new_hash, "at": at, "records": as_rows(records)}
    return bool(query(statement, parameters, read_only=False))
