"""Using the tokens of mail links: each once, by one atomic statement (S22 to S25)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from users.repository.accounts import NEXT_SECOND
from users.repository.database import query
from users.repository.known_addresses import FORGET_ADDRESSES
from users.repository.login_failures import FORGET_FAILURES
from users.repository.outbox import INSERT_RECORDS, as_rows, insert_records
from users.repository.purges import NEVER_VERIFIED, Claim
from users.repository.statements import Part, Statement
from users.repository.throttles import FORGET_FAILED_LOGINS
from users.rules.one_time_tokens import Purpose, digest
from users.rules.outbox_records import Record

_FIND_HOLDER = Statement(
    "find_holder",
    f"""
        SELECT u.id AS user_id, COALESCE(u.username, '') AS username, u.email, COALESCE(u.secret, '') AS secret_hash,
            t.purpose, u.created_at AT TIME ZONE 'UTC' AS registered_at, {NEVER_VERIFIED} AS is_removable,
            COALESCE(u.metadata->>'locale', '') AS locale
        FROM users_one_time_tokens t JOIN users u ON u.id = t.user_id
        WHERE t.digest = %(digest)s AND t.purpose = ANY(%(purposes)s) AND t.used_at IS NULL AND t.expires_at > now()
            AND u.status = 0 AND (u.email = t.email OR t.purpose = 'password_reset')""",
)

_FIND_ADDRESSEE = Statement(
    "find_addressee",
    """
        SELECT u.id AS user_id, COALESCE(u.metadata->>'locale', '') AS locale,
            CASE WHEN u.status = 0 AND u.email = t.email AND (t.purpose <> 'verification' OR u.verified_at IS NULL)
                THEN u.email ELSE '' END AS email
        FROM users_one_time_tokens t JOIN users u ON u.id = t.user_id
        WHERE t.digest = %(digest)s AND t.purpose = ANY(%(purposes)s)""",
)

# Uses up a verification token of the account `holder`.
_USE_VERIFICATION = Part(
    "used",
    """
            UPDATE users_one_time_tokens t SET used_at = now() FROM holder
            WHERE t.digest = %(digest)s AND t.user_id = holder.id AND t.purpose = 'verification'
                AND t.used_at IS NULL AND t.expires_at > now()
            RETURNING t.user_id, t.email""",
    needs={"holder": ("id",)},
    gives=("user_id", "email"),
)

_USE_FOR_VERIFICATION = Statement(
    "use_for_verification",
    Part(
        "holder",
        """
            SELECT u.id FROM users_one_time_tokens t JOIN users u ON u.id = t.user_id
            WHERE t.digest = %(digest)s AND t.email = u.email AND u.status = 0
            FOR NO KEY UPDATE OF u""",
        gives=("id",),
        materialized=True,
    ),
    _USE_VERIFICATION,
    Part(
        "others",
        """
            UPDATE users_one_time_tokens t SET used_at = now() FROM used
            WHERE t.user_id = used.user_id AND t.email = used.email AND t.purpose = 'verification'
                AND t.used_at IS NULL AND t.digest <> %(digest)s""",
        needs={"used": ("user_id", "email")},
    ),
    Part(
        "changed",
        """
            UPDATE users u SET verified_at = %(at)s, self_registered = false FROM used
            WHERE u.id = used.user_id RETURNING u.id""",
        needs={"used": ("user_id",)},
        gives=("id",),
    ),
    INSERT_RECORDS,
    "SELECT id FROM changed",
)

_USE_FOR_RESET = Statement(
    "use_for_reset",
    Part(
        "holder",
        """
            SELECT u.id, u.email = t.email AS has_mailbox, u.verified_at IS NULL AND u.email = t.email AS proves
            FROM users_one_time_tokens t JOIN users u ON u.id = t.user_id
            WHERE t.digest = %(digest)s AND u.status = 0
            FOR NO KEY UPDATE OF u""",
        gives=("id", "has_mailbox", "proves"),
        materialized=True,
    ),
    Part(
        "used",
        """
            UPDATE users_one_time_tokens t SET used_at = now() FROM holder
            WHERE t.digest = %(digest)s AND t.purpose IN ('password_reset', 'invitation')
                AND (holder.has_mailbox OR t.purpose = 'password_reset')
                AND t.used_at IS NULL AND t.expires_at > now()
            RETURNING t.user_id, holder.proves""",
        needs={"holder": ("has_mailbox", "proves")},
        gives=("user_id", "proves"),
    ),
    Part(
        "others",
        """
            UPDATE users_one_time_tokens t SET used_at = now() FROM used
            WHERE t.user_id = used.user_id AND t.purpose <> 'verification' AND t.used_at IS NULL
                AND t.digest <> %(digest)s""",
        needs={"used": ("user_id",)},
    ),
    Part(
        "changed",
        f"""
            UPDATE users u SET secret = %(new_hash)s, secret_changed_at = %(at)s, updated_at = %(at)s,
                updated_by = u.id, tokens_valid_from = {NEXT_SECOND},
                verified_at = CASE WHEN used.proves THEN %(at)s ELSE u.verified_at END,
                self_registered = u.self_registered AND NOT used.proves
            FROM used WHERE u.id = used.user_id
            RETURNING u.id, used.proves""",
        needs={"used": ("user_id", "proves")},
        gives=("id", "proves"),
    ),
    Part("proven", "SELECT id FROM changed WHERE proves", needs={"changed": ("id", "proves")}, gives=("id",)),
    FORGET_FAILED_LOGINS,
    FORGET_FAILURES,
    FORGET_ADDRESSES,
    insert_records("(changed.proves OR r.name <> 'user.verify_email')", columns=("proves",)),
    "SELECT id FROM changed",
)

_CLAIM_NEVER_VERIFIED = Statement(
    "claim_never_verified",
    Part(
        "holder",
        f"""
            SELECT u.id FROM users_one_time_tokens t JOIN users u ON u.id = t.user_id
            WHERE t.digest = %(digest)s AND t.email = u.email AND {NEVER_VERIFIED}
            FOR UPDATE OF u""",
        gives=("id",),
        materialized=True,
    ),
    _USE_VERIFICATION,
    Part(
        "changed",
        f"""
            UPDATE users u SET status = 2, deleted_at = now(), tokens_valid_from = {NEXT_SECOND},
                purging_at = %(at)s, purge_attempts = 1
            FROM used WHERE u.id = used.user_id RETURNING u.id""",
        needs={"used": ("user_id",)},
        gives=("id",),
    ),
    INSERT_RECORDS,
    "SELECT id FROM changed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The enabled account of an unused, unexpired token, and the token's purpose.

    ``secret_hash`` is empty if the account has no password. ``registered_at`` is in UTC, None if it is unknown.
    ``locale`` is the language that the owner chose for mails, or empty.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """The account that a token was mailed to, whatever became of both. ``locale`` as in Holder.

    ``email`` is its address if another mail of the kind would make sense: the account is enabled and still has the
    address that the token was mailed to, for a verification unverified. Otherwise it is empty.
    """

    user_id: str
    email: str
    locale: str


def find_holder(token: str, *purposes: Purpose) -> Holder | None:
    """Return the account of a token, while the token can be used for one of the purposes."""
    rows = query(_FIND_HOLDER, {"digest": digest(token), "purposes": list(purposes)}, read_only=True)
    return Holder(**rows[0]) if rows else None


def find_addressee(token: str, *purposes: Purpose) -> Addressee | None:
    """Return the account that a token was mailed to, also a used or expired one. None for an invented token."""
    rows = query(_FIND_ADDRESSEE, {"digest": digest(token), "purposes": list(purposes)}, read_only=True)
    return Addressee(**rows[0]) if rows else None


def use_for_verification(token: str, records: Sequence[Record], *, at: datetime) -> bool:
    """Verify the address that the token was mailed to. Return False if the token cannot be used.

    All verification tokens of that address are used up with it (decisions 14). The statement locks the account's row
    first, as all statements do that change an account and its tokens.
    """
    parameters = {"digest": digest(token), "at": at, "records": as_rows(records)}
    return bool(query(_USE_FOR_VERIFICATION, parameters, read_only=False))


def use_for_reset(token: str, new_hash: str, records: Sequence[Record], *, at: datetime) -> bool:
    """Set the password of the account that a reset or an invitation was mailed to. Return False for a used token.

    The sessions of the account end, and its other links that set a password. If the token was mailed to the address
    that the account still has, and that address was unverified, the statement verifies it as well, and no network
    address counts as known any more (decisions 35). Otherwise it leaves out a ``user.verify_email`` among ``records``.
    """
    parameters = {"digest": digest(token), "new_hash": new_hash, "at": at, "records": as_rows(records)}
    return bool(query(_USE_FOR_RESET, parameters, read_only=False))


def claim_never_verified(token: str, records: Sequence[Record], *, at: datetime) -> Claim | None:
    """Claim the never verified account whose verification mail holds ``token``, with ``records``, as if it was deleted.

    None, and the token stays unused, if the account is verified or of another kind (``NEVER_VERIFIED``), if it has
    another address now, or if the token cannot be used. The statement locks the account's row first: of a verification
    and this at the same moment only one succeeds, whichever links of the account they use.
    """
    parameters = {"digest": digest(token), "at": at, "records": as_rows(records)}
    rows = query(_CLAIM_NEVER_VERIFIED, parameters, read_only=False)
    return Claim([rows[0]["id"]], at) if rows else None
