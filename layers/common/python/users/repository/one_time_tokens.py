"""Using the tokens of mail links: each once, by one atomic statement (S22–S25)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from users.repository.changes import FORGET_FAILED_LOGINS, NEXT_SECOND
from users.repository.database import query
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.repository.purges import NEVER_VERIFIED, Claim
from users.rules.one_time_tokens import Purpose, digest
from users.rules.outbox_records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The enabled account that an unused, unexpired token is for, and the token's purpose.

    ``secret_hash`` is empty when it has no password. ``registered_at`` is in UTC, None where nobody knows. ``locale``
    is the language that its owner chose for mails, or nothing.
    ``is_removable``: the owner of the mailbox may remove the account, because it registered itself and was never
    verified.
    """

    user_id: str
    username: str
    email: str
    secret_hash: str
    purpose: Purpose
    registered_at: datetime | None
    is_removable: bool
    locale: str


def find_holder(token: str, *purposes: Purpose) -> Holder | None:
    """Whose token it is, while it can be used for one of the purposes."""
    rows = query(
        "SELECT u.id AS user_id, COALESCE(u.username, '') AS username, u.email, COALESCE(u.secret, '') AS secret_hash,"
        f" t.purpose, u.created_at AT TIME ZONE 'UTC' AS registered_at, {NEVER_VERIFIED} AS is_removable,"
        " COALESCE(u.metadata->>'locale', '') AS locale"
        " FROM users_one_time_tokens t JOIN users u ON u.id = t.user_id"
        " WHERE t.digest = %(digest)s AND t.purpose = ANY(%(purposes)s) AND t.used_at IS NULL AND t.expires_at > now()"
        " AND u.status = 0 AND (u.email = t.email OR t.purpose = 'password_reset')",
        {"digest": digest(token), "purposes": list(purposes)},
        read_only=True,
    )
    return Holder(**rows[0]) if rows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """The account that a token was mailed to, whatever became of both. ``locale`` as in Holder.

    ``email`` is its address where a new mail of the kind would make sense: the account is enabled and still has the
    address that the token was mailed to, for a verification unverified. Else it is empty.
    """

    user_id: str
    email: str
    locale: str


def find_addressee(token: str, *purposes: Purpose) -> Addressee | None:
    """Whom a token was mailed to, though it may be used or expired; None for one that was never made for a purpose."""
    rows = query(
        "SELECT u.id AS user_id, COALESCE(u.metadata->>'locale', '') AS locale,"
        " CASE WHEN u.status = 0 AND u.email = t.email AND (t.purpose <> 'verification' OR u.verified_at IS NULL)"
        " THEN u.email ELSE '' END AS email"
        " FROM users_one_time_tokens t JOIN users u ON u.id = t.user_id"
        " WHERE t.digest = %(digest)s AND t.purpose = ANY(%(purposes)s)",
        {"digest": digest(token), "purposes": list(purposes)},
        read_only=True,
    )
    return Addressee(**rows[0]) if rows else None


def use_for_verification(token: str, records: Sequence[Record], *, at: datetime) -> bool:
    """Verify the address that the token was mailed to. False when it cannot be used, or can no more.

    All verification tokens of that address are used up with it (decisions 14). The account's row is locked first, as
    by all that changes an account and its tokens.
    """
    statement = f"""
        WITH holder AS MATERIALIZED (
            SELECT u.id FROM users_one_time_tokens t JOIN users u ON u.id = t.user_id
            WHERE t.digest = %(digest)s AND t.email = u.email AND u.status = 0
            FOR NO KEY UPDATE OF u
        ), used AS (
            UPDATE users_one_time_tokens t SET used_at = now() FROM holder
            WHERE t.digest = %(digest)s AND t.user_id = holder.id AND t.purpose = 'verification'
                AND t.used_at IS NULL AND t.expires_at > now()
            RETURNING t.user_id, t.email
        ), others AS (
            UPDATE users_one_time_tokens t SET used_at = now() FROM used
            WHERE t.user_id = used.user_id AND t.email = used.email AND t.purpose = 'verification'
                AND t.used_at IS NULL AND t.digest <> %(digest)s
        ), changed AS (
            UPDATE users u SET verified_at = %(at)s, self_registered = false FROM used
            WHERE u.id = used.user_id RETURNING u.id
        ), recorded AS ({INSERT_RECORDS})
        SELECT id FROM changed"""
    parameters = {"digest": digest(token), "at": at, "records": as_rows(records)}
    return bool(query(statement, parameters, read_only=False))


# An account whose mailbox is proven forgets the network addresses that it knows: somebody else may have registered it,
# and more wrong passwords are allowed from known addresses (S8).
_FORGET_KNOWN_ADDRESSES = """
    unknown AS (
        DELETE FROM users_known_addresses WHERE user_id = (SELECT id FROM proven)
    )"""


def use_for_reset(token: str, new_hash: str, records: Sequence[Record], *, at: datetime) -> bool:
    """Set the password of the account that a reset or an invitation was mailed to. False when the token is used.

    Ends its sessions, and its other links that set a password. Where the token was mailed to the address that the
    account still has, unverified until now, the address is verified as well, and no network address counts as known
    (decisions 35). Elsewhere a ``user.verify_email`` among ``records`` is left out.
    """
    statement = f"""
        WITH holder AS MATERIALIZED (
            SELECT u.id, u.email = t.email AS has_mailbox, u.verified_at IS NULL AND u.email = t.email AS proves
            FROM users_one_time_tokens t JOIN users u ON u.id = t.user_id
            WHERE t.digest = %(digest)s AND u.status = 0
            FOR NO KEY UPDATE OF u
        ), used AS (
            UPDATE users_one_time_tokens t SET used_at = now() FROM holder
            WHERE t.digest = %(digest)s AND t.purpose IN ('password_reset', 'invitation')
                AND (holder.has_mailbox OR t.purpose = 'password_reset')
                AND t.used_at IS NULL AND t.expires_at > now()
            RETURNING t.user_id, holder.proves
        ), others AS (
            UPDATE users_one_time_tokens t SET used_at = now() FROM used
            WHERE t.user_id = used.user_id AND t.purpose <> 'verification' AND t.used_at IS NULL
                AND t.digest <> %(digest)s
        ), changed AS (
            UPDATE users u SET secret = %(new_hash)s, secret_changed_at = %(at)s, updated_at = %(at)s,
                updated_by = u.id, tokens_valid_from = {NEXT_SECOND},
                verified_at = CASE WHEN used.proves THEN %(at)s ELSE u.verified_at END,
                self_registered = u.self_registered AND NOT used.proves
            FROM used WHERE u.id = used.user_id
            RETURNING u.id, used.proves
        ), proven AS (
            SELECT id FROM changed WHERE proves
        ), {FORGET_FAILED_LOGINS}, {_FORGET_KNOWN_ADDRESSES}, recorded AS (
            {INSERT_RECORDS} AND (changed.proves OR r.name <> 'user.verify_email')
        )
        SELECT id FROM changed"""
    parameters = {"digest": digest(token), "new_hash": new_hash, "at": at, "records": as_rows(records)}
    return bool(query(statement, parameters, read_only=False))


def claim_never_verified(token: str, records: Sequence[Record], *, at: datetime) -> Claim | None:
    """Claim the never verified account whose verification mail holds ``token``, with ``records``, as if it was deleted.

    None, and the token is not used, when the account is verified or of another kind (``NEVER_VERIFIED``), has another
    address now, or the token cannot be used. The account's row is locked first: of a verification and this at the same
    moment only one succeeds, by whatever links of the account they came.
    """
    statement = f"""
        WITH holder AS MATERIALIZED (
            SELECT u.id FROM users_one_time_tokens t JOIN users u ON u.id = t.user_id
            WHERE t.digest = %(digest)s AND t.email = u.email AND {NEVER_VERIFIED}
            FOR UPDATE OF u
        ), used AS (
            UPDATE users_one_time_tokens t SET used_at = now() FROM holder
            WHERE t.digest = %(digest)s AND t.user_id = holder.id AND t.purpose = 'verification'
                AND t.used_at IS NULL AND t.expires_at > now()
            RETURNING t.user_id
        ), changed AS (
            UPDATE users u SET status = 2, deleted_at = now(), tokens_valid_from = {NEXT_SECOND},
                purging_at = %(at)s, purge_attempts = 1
            FROM used WHERE u.id = used.user_id RETURNING u.id
        ), recorded AS ({INSERT_RECORDS})
        SELECT id FROM changed"""
    rows = query(statement, {"digest": digest(token), "at": at, "records": as_rows(records)}, read_only=False)
    return Claim([rows[0]["id"]], at) if rows else None
