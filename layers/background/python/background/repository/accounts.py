"""Accounts as operators and bootstrap read them."""

from collections.abc import Sequence

from psycopg.rows import DictRow

from users.repository.accounts import USER_COLUMNS
from users.repository.database import query
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.repository.statements import Part, Statement
from users.rules.email_addresses import canonical_or_typed
from users.rules.outbox_records import Record

# An operator may name an account by any spelling. The exact spellings win.
_FIND = Statement(
    "find_by_any_name",
    Part(
        "found",
        """
        SELECT 1 AS rank, id FROM users WHERE id = %(identity)s
        UNION SELECT 1, id FROM users WHERE email = %(identity)s
        UNION SELECT 1, id FROM users WHERE username = %(identity)s
        UNION SELECT 2, id FROM users
            WHERE lower(email) IN (lower(%(identity)s), lower(%(canonical)s)) AND NOT case_conflict
        UNION SELECT 2, id FROM users WHERE lower(username) = lower(%(identity)s) AND NOT case_conflict""",
        gives=("rank", "id"),
    ),
    f"""
    SELECT {USER_COLUMNS}, u.secret, u.case_conflict, u.disabled_at, u.deleted_at, u.purging_at,
        (SELECT restricted_at FROM users_login_failures f WHERE f.user_id = u.id) AS restricted_at,
        (SELECT count(*) FROM users_outbox o WHERE o.user_id = u.id AND o.parked_at IS NULL) AS waiting,
        (SELECT count(*) FROM users_outbox o WHERE o.user_id = u.id AND o.parked_at IS NOT NULL) AS parked
    FROM users u WHERE u.id IN (SELECT id FROM found WHERE rank = (SELECT min(rank) FROM found))""",
)

# The operator prints the link and mails it to nobody. Its use proves no address, so the token has none.
_STORE_RESET_LINK = Statement(
    "store_reset_link",
    Part("changed", "SELECT id, email FROM users WHERE id = %(user_id)s AND status = 0", gives=("id",)),
    Part(
        "superseded",
        """
        UPDATE users_one_time_tokens SET used_at = now()
        WHERE user_id = (SELECT id FROM changed) AND purpose = 'password_reset' AND used_at IS NULL""",
        needs={"changed": ("id",)},
    ),
    Part(
        "stored",
        """
        INSERT INTO users_one_time_tokens (digest, user_id, purpose, email, expires_at)
        SELECT %(digest)s, id, 'password_reset', '', now() + %(lifetime)s * interval '1 second' FROM changed""",
        needs={"changed": ("id",)},
    ),
    INSERT_RECORDS,
    "SELECT id FROM changed",
)

_FIND_ADMINISTRATORS = Statement(
    "find_administrators",
    """
    SELECT id, lower(email) IN (lower(%(email)s), lower(%(canonical)s)) AS configured, status, role, purging_at
    FROM users
    WHERE role = 1 OR email = %(email)s
        OR (lower(email) IN (lower(%(email)s), lower(%(canonical)s)) AND NOT case_conflict)""",
)

_FIND_PASSWORDS = Statement(
    "find_passwords", "SELECT username, secret FROM users WHERE id = ANY(%(ids)s) ORDER BY created_at, id"
)

_FIND_CASE_CONFLICTS = Statement(
    "find_case_conflicts",
    """
        SELECT u.id, u.email, u.username, u.status, u.created_at AT TIME ZONE 'UTC' AS created_at, COALESCE(
            (SELECT k.id FROM users k WHERE lower(k.email) = lower(u.email) AND NOT k.case_conflict),
            (SELECT k.id FROM users k WHERE lower(k.username) = lower(u.username) AND NOT k.case_conflict)
        ) AS kept_by
        FROM users u WHERE u.case_conflict
        ORDER BY kept_by, lower(u.email), u.created_at, u.id""",
)


def find_by_any_name(identity: str) -> list[DictRow]:
    """Return the accounts with this id, e-mail address or username, with the columns for an operator."""
    return query(_FIND, {"identity": identity, "canonical": canonical_or_typed(identity)}, read_only=True)


def store_reset_link(user_id: str, digest: bytes, lifetime: int, records: Sequence[Record]) -> None:
    """Store the token of a reset link for an enabled account, end its older ones, and write ``records``."""
    parameters = {"user_id": user_id, "digest": digest, "lifetime": lifetime, "records": as_rows(records)}
    query(_STORE_RESET_LINK, parameters, read_only=False)


def find_administrators(email: str) -> list[DictRow]:
    """Return all administrators, and the account of an address (``configured``) with any role and status."""
    return query(_FIND_ADMINISTRATORS, {"email": email, "canonical": canonical_or_typed(email)}, read_only=True)


def find_passwords(user_ids: Sequence[str]) -> list[DictRow]:
    """Return username and password hash of accounts."""
    return query(_FIND_PASSWORDS, {"ids": list(user_ids)}, read_only=True)


def find_case_conflicts() -> list[DictRow]:
    """Return the accounts with a mark of a case conflict. Accounts of one name are together."""
    return query(_FIND_CASE_CONFLICTS, {}, read_only=True)
