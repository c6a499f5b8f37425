"""One account: reading it, and registering it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from users.access import Account
from users.models import User
from users.repository.database import query
from users.repository.mails import MAIL_LIMITS
from users.repository.outbox import INSERT_MAILS, INSERT_RECORDS, TELL_ADMINISTRATORS, as_rows
from users.repository.throttles import COUNT_HITS
from users.rules.outbox_records import Record, administrator_notice

# Times come as UTC whatever the server's TimeZone is; upstream's zero time would not survive another zone.
USER_COLUMNS = """
    u.id, u.first_name, u.last_name, u.tags, u.metadata, u.private_metadata, u.status, u.role, u.profile_picture,
    u.username, u.email, u.created_at AT TIME ZONE 'UTC' AS created_at, u.updated_at AT TIME ZONE 'UTC' AS updated_at,
    u.updated_by, u.verified_at AT TIME ZONE 'UTC' AS verified_at, u.auth_provider"""

# With id, status and role: what access.Account is made of.
STANDING_COLUMNS = """
    u.verified_at IS NOT NULL AS verified,
    COALESCE(EXTRACT(EPOCH FROM u.tokens_valid_from)::bigint, 0) AS tokens_valid_from"""


def find_account(user_id: str) -> Account | None:
    """The access-related part of one account, None when there is none."""
    statement = f"SELECT u.id, u.status, u.role, {STANDING_COLUMNS} FROM users u WHERE u.id = %(id)s"
    rows = query(statement, {"id": user_id}, read_only=True)
    return Account.from_row(rows[0]) if rows else None


def find_role(user_id: str) -> int | None:
    """The role by which others know the account; None when there is none, or when its removal has begun."""
    statement = "SELECT COALESCE(role, 0) AS role FROM users WHERE id = %(id)s AND purging_at IS NULL"
    rows = query(statement, {"id": user_id}, read_only=True)
    return rows[0]["role"] if rows else None


def find_profile(user_id: str) -> tuple[Account, User] | None:
    """One account whole, with its access-related part; None when there is none."""
    statement = f"SELECT {USER_COLUMNS}, {STANDING_COLUMNS} FROM users u WHERE u.id = %(id)s"
    rows = query(statement, {"id": user_id}, read_only=True)
    return (Account.from_row(rows[0]), User.from_row(rows[0])) if rows else None


def register(
    user: User,
    secret_hash: str | None,
    records: Sequence[Record],
    mails: Sequence[Record] = (),
    *,
    mailbox: str = "",
    self_registered: bool = False,
) -> None:
    """Store a new account and its records. Conflict when the e-mail or the username is taken, whatever its case.

    ``secret_hash`` is the password's argon2id string, None for an account that has no password yet. ``mails``, all of
    one kind, are to its address, whose digest is ``mailbox``, and count against the limits of that kind (decisions
    11). ``self_registered`` accounts that nobody verifies are removed (decisions 35). Of a new administrator the
    others are told.
    """
    statement = f"""
        WITH changed AS (
            INSERT INTO users (id, first_name, last_name, tags, email, username, secret, metadata, private_metadata,
                               profile_picture, status, role, created_at, secret_changed_at, disabled_at,
                               self_registered)
            VALUES (%(id)s, %(first_name)s, %(last_name)s, %(tags)s, %(email)s, %(username)s, %(secret)s, %(metadata)s,
                    %(private_metadata)s, %(profile_picture)s, %(status)s, %(role)s, %(created_at)s, %(created_at)s,
                    %(disabled_at)s, %(self_registered)s)
            RETURNING id, role, status, username
        ), addressee AS (
            SELECT id FROM changed WHERE jsonb_array_length(%(mails)s) > 0
        ), {MAIL_LIMITS}, {COUNT_HITS}, mailed AS ({INSERT_MAILS}),
        told_administrators AS ({TELL_ADMINISTRATORS})
        {INSERT_RECORDS}"""
    parameters: dict[str, Any] = {
        "id": user.id,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "tags": user.tags or None,
        "email": user.email,
        "username": user.username,
        "secret": secret_hash,
        "metadata": Jsonb(user.metadata),
        "private_metadata": Jsonb(user.private_metadata),
        "profile_picture": user.profile_picture or None,
        "status": user.status,
        "role": user.role,
        "created_at": user.created_at,
        "disabled_at": user.created_at if user.status else None,
        "self_registered": self_registered,
        "kind": mails[0].name if mails else "",
        "mailbox": mailbox,
        "mails": as_rows(mails),
        "records": as_rows(records),
        "administrator_notice": Jsonb(administrator_notice(user.created_at or datetime.now(UTC))),
    }
    query(statement, parameters, read_only=False)
