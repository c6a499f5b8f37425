"""The first administrator (contract §4.9; decisions.md; security.md S21).

Made once, when no administrator is enabled. Afterwards nothing is changed: an administrator who took another e-mail
address or username keeps it, and a disabled one stays disabled.
"""

import uuid
from datetime import UTC, datetime

from operations.local import in_local_mode
from users import outbox, passwords, policies
from users.database import query
from users.errors import Conflict, Unavailable
from users.log import logger
from users.models import Role, User
from users.repository import accounts
from users.repository.outbox import record
from users.settings import Settings, SettingsError, settings

_FOUND = "an administrator is there already"
_WELL_KNOWN_PASSWORD = "12345678"  # noqa: S105 -- upstream's published default, refused here


def ensure_administrator() -> str:
    """Make sure that there is an administrator, and say in a sentence what was found or done.

    SettingsError when the configured password is upstream's default outside local mode.
    """
    rows = query(
        "SELECT id, lower(email) = lower(%(email)s) AS configured, status, role FROM users"
        " WHERE role = 1 OR (lower(email) = lower(%(email)s))",
        {"email": settings().admin_email},
        read_only=True,
    )
    administrators = [row["id"] for row in rows if row["role"] == Role.ADMIN and row["status"] == 0]
    if administrators:
        for user_id in administrators:
            _grant(user_id)
        return _FOUND
    for row in rows:
        if row["configured"]:
            return "MG_USERS_ADMIN_EMAIL belongs to an account that is no enabled administrator: nothing was changed"
    return _create(settings())


def _create(s: Settings) -> str:
    if s.admin_password == _WELL_KNOWN_PASSWORD and not in_local_mode():
        raise SettingsError("MG_USERS_ADMIN_PASSWORD: the well-known default is refused, set another")
    user = _administrator(s, s.admin_username)
    secret_hash = passwords.hash_password(s.admin_password)
    try:
        accounts.register(user, secret_hash, [outbox.user_created(user, None, "")])
    except Conflict as error:
        if error.code == "email_taken":  # by another run, since ensure_administrator looked
            return _FOUND
        user = _administrator(s, f"{s.admin_username}-{uuid.uuid4().hex[:8]}")
        accounts.register(user, secret_hash, [outbox.user_created(user, None, "")])
        _grant(user.id)
        return f"made the administrator; its username is {user.username}, because {s.admin_username} was taken"
    _grant(user.id)
    return "made the administrator"


def _administrator(s: Settings, username: str) -> User:
    return User(
        id=str(uuid.uuid4()),
        first_name=s.admin_first_name,
        last_name=s.admin_last_name,
        email=s.admin_email,
        username=username,
        role=Role.ADMIN,
        metadata={"role": "admin"},
        created_at=datetime.now(UTC),
    )


def _grant(user_id: str) -> None:
    """Write the relations, or leave them to the outbox, as registration does."""
    try:
        policies.grant(user_id, Role.ADMIN)
    except Unavailable:
        logger.warning("relation left to the outbox")
        record(user_id, [outbox.relation_repair(user_id, Role.ADMIN)])
