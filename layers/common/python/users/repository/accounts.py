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
from users.repository.statements import Part, Statement
from users.repository.throttles import COUNT_HITS
from users.rules.outbox_records import Record, administrator_notice

# The columns of ``users u`` from which models.User is made. Times come as UTC whatever the server's TimeZone is:
# upstream's zero time would not survive another zone.
USER_COLUMNS = """
    u.id, u.first_name, u.last_name, u.tags, u.metadata, u.private_metadata, u.status, u.role, u.profile_picture,
    u.username, u.email, u.created_at AT TIME ZONE 'UTC' AS created_at, u.updated_at AT TIME ZONE 'UTC' AS updated_at,
    u.updated_by, u.verified_at AT TIME ZONE 'UTC' AS verified_at, u.auth_provider"""

# The columns of ``users u`` from which, with id, status and role, access.Account is made.
STANDING_COLUMNS = """
    u.verified_at IS NOT NULL AS verified,
    COALESCE(EXTRACT(EPOCH FROM u.tokens_valid_from)::bigint, 0) AS tokens_valid_from"""

# A change of password, role or status ends the tokens before this moment (decisions 15). Tokens count whole seconds: a
# token that was issued in this second may be older than the change.
NEXT_SECOND = "date_trunc('second', clock_timestamp()) + interval '1 second'"

# The columns that a registration stores, each from the parameter of its name.
_STORED = (
    "id",
    "first_name",
    "last_name",
    "tags",
    "email",
    "username",
    "secret",
    "metadata",
    "private_metadata",
    "profile_picture",
    "status",
    "role",
    "created_at",
    "secret_changed_at",
    "disabled_at",
    "self_registered",
)

_FIND_ACCOUNT = Statement(
    "find_account", f"SELECT u.id, u.status, u.role, {STANDING_COLUMNS} FROM users u WHERE u.id = %(id)s"
)
_FIND_ROLE = Statement(
    "find_role", "SELECT COALESCE(role, 0) AS role FROM users WHERE id = %(id)s AND purging_at IS NULL"
)
_FIND_PROFILE = Statement("find_profile", f"SELECT {USER_COLUMNS}, {STANDING_COLUMNS} FROM users u WHERE u.id = %(id)s")
_FIND_CALLER_AND_TARGET = Statement(
    "find_caller_and_target",
    f"SELECT {USER_COLUMNS}, {STANDING_COLUMNS} FROM users u WHERE u.id IN (%(caller)s, %(target)s)",
)

_REGISTER = Statement(
    "register",
    Part(
        "changed",
        f"""
            INSERT INTO users ({", ".join(_STORED)})
            VALUES ({", ".join(f"%({column})s" for column in _STORED)})
            RETURNING id, role, status, username""",
        gives=("id", "role", "status", "username"),
    ),
    Part(
        "addressee",
        "SELECT id FROM changed WHERE jsonb_array_length(%(mails)s) > 0",
        needs={"changed": ("id",)},
        gives=("id",),
    ),
    MAIL_LIMITS,
    *COUNT_HITS,
    INSERT_MAILS,
    TELL_ADMINISTRATORS,
    INSERT_RECORDS,
)


def find_account(user_id: str) -> Account | None:
    """Return what decides about the access of an account, None if there is no such account."""
    rows = query(_FIND_ACCOUNT, {"id": user_id}, read_only=True)
    return Account.from_row(rows[0]) if rows else None


def find_role(user_id: str) -> int | None:
    """Return the role that other services should see, None if there is no account or its removal has begun."""
    rows = query(_FIND_ROLE, {"id": user_id}, read_only=True)
    return rows[0]["role"] if rows else None


def find_profile(user_id: str) -> tuple[Account, User] | None:
    """Return a whole account and what decides about its access, None if there is no such account."""
    rows = query(_FIND_PROFILE, {"id": user_id}, read_only=True)
    return (Account.from_row(rows[0]), User.from_row(rows[0])) if rows else None


def find_caller_and_target(caller_id: str, target_id: str) -> tuple[Account | None, User | None]:
    """Return the caller's account and the account to act on, by one query."""
    found = query(_FIND_CALLER_AND_TARGET, {"caller": caller_id, "target": target_id}, read_only=True)
    rows = {row["id"]: row for row in found}
    caller, target = rows.get(caller_id), rows.get(target_id)
    return Account.from_row(caller) if caller else None, User.from_row(target) if target else None


def register(
    user: User,
    secret_hash: str | None,
    records: Sequence[Record],
    mails: Sequence[Record] = (),
    *,
    mailbox: str = "",
    self_registered: bool = False,
) -> None:
    """Store a new account and its records. Conflict for an e-mail address or username that is taken in any letter case.

    ``secret_hash`` is the argon2id string of the password, None for an account without a password. ``mails`` are of one
    kind and go to the address of the account, whose digest is ``mailbox``. They count against the limits of that kind
    (decisions 11). The sweep removes ``self_registered`` accounts that nobody verifies (decisions 35). The statement
    mails the other administrators about a new one.
    """
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
        "secret_changed_at": user.created_at,
        "disabled_at": user.created_at if user.status else None,
        "self_registered": self_registered,
        "kind": mails[0].name if mails else "",
        "mailbox": mailbox,
        "mails": as_rows(mails),
        "records": as_rows(records),
        "administrator_notice": Jsonb(administrator_notice(user.created_at or datetime.now(UTC))),
    }
    query(_REGISTER, parameters, read_only=False)
