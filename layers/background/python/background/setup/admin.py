"""The first administrator (contract §4.9, S21).

Bootstrap makes it once, when no administrator is enabled. Later runs change nothing: an administrator keeps a new
e-mail address or username, and a disabled administrator stays disabled.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

from background.repository.accounts import find_administrators, find_passwords
from background.setup.local_mode import in_local_mode, is_exposed
from users.aws.secrets import secret
from users.errors import BadRequest, Conflict, Unavailable
from users.models import Role, Status, User
from users.repository import accounts
from users.repository.outbox import record
from users.rules import outbox_records, passwords
from users.rules.email_addresses import canonical_email
from users.rules.fields import check_name, check_username
from users.settings import Settings, WrongSettings, settings
from users.steps.granting import settle
from users.telemetry.log import logger

_FOUND = "an administrator is there already"
_WELL_KNOWN_PASSWORD = "12345678"  # noqa: S105 -- upstream's published default, refused here
_USERNAME_CHARACTERS = 32


def ensure_administrator() -> str:
    """Make an administrator if there is none. Return a sentence about the result.

    WrongSettings when ``MG_USERS_ADMIN_*`` of a new administrator break the rules of registration. Also when other
    machines reach this service and an administrator has the well-known password.
    """
    rows = find_administrators(settings().admin_email)
    administrators = [row["id"] for row in rows if row["role"] == Role.ADMIN and row["status"] == Status.ENABLED]
    if administrators:
        if is_exposed():
            _refuse_well_known(administrators)
        _grant(administrators)
        return _FOUND
    for row in rows:
        if row["configured"]:
            return f"no administrator: {_obstacle(row)}; nothing was changed"
    return _create(settings())


def _refuse_well_known(user_ids: list[str]) -> None:
    """Raise WrongSettings when one of these accounts has the well-known password."""
    for row in find_passwords(user_ids):
        if passwords.verify_password(row["secret"] or "", _WELL_KNOWN_PASSWORD):
            raise WrongSettings(
                f"MG_USERS_HTTP_HOST: the administrator {row['username']} has the well-known password; start without"
                " this variable and MG_USERS_TRUSTED_PROXIES, change the password, then start again"
            )


def _obstacle(row: dict[str, Any]) -> str:
    """Return why the account of the configured address is no administrator, and the next step."""
    if row["purging_at"]:
        return "the account of MG_USERS_ADMIN_EMAIL is being removed, run bootstrap again after its removal"
    if row["status"] != Status.ENABLED:
        state = Status(row["status"]).name.lower()
        return (
            f"the account of MG_USERS_ADMIN_EMAIL is {state}, enable it (python -m users user enable) or set another"
            " address"
        )
    return (
        "the account of MG_USERS_ADMIN_EMAIL is no enabled administrator, make it one (python -m users user set-role)"
        " or set another address"
    )


def _create(s: Settings) -> str:
    _check(s)
    user = _administrator(s, s.admin_username)
    secret_hash = passwords.hash_password(secret(settings().admin_password))
    try:
        accounts.register(user, secret_hash, [outbox_records.user_created(user, None, "")])
    except Conflict as error:
        if error.code == "email_taken":  # by another run at the same moment
            return _FOUND
        ending = f"-{uuid.uuid4().hex[:8]}"
        user = _administrator(s, s.admin_username[: _USERNAME_CHARACTERS - len(ending)].rstrip("-") + ending)
        accounts.register(user, secret_hash, [outbox_records.user_created(user, None, "")])
        _grant([user.id])
        return f"made the administrator; its username is {user.username}, because {s.admin_username} was taken"
    _grant([user.id])
    return "made the administrator"


def _check(s: Settings) -> None:
    """Check the rules of registration. The well-known password is allowed only on a developer's machine."""
    password = secret(settings().admin_password)
    local_default = in_local_mode() and not is_exposed() and password == _WELL_KNOWN_PASSWORD
    if password == _WELL_KNOWN_PASSWORD and not local_default:
        raise WrongSettings("MG_USERS_ADMIN_PASSWORD: the well-known default is refused, set another")
    variable = ""
    try:
        variable = "MG_USERS_ADMIN_EMAIL"
        canonical_email(s.admin_email)
        variable = "MG_USERS_ADMIN_USERNAME"
        check_username(s.admin_username)
        variable = "MG_USERS_ADMIN_FIRST_NAME"
        check_name(s.admin_first_name, "first name")
        variable = "MG_USERS_ADMIN_LAST_NAME"
        check_name(s.admin_last_name, "last name")
        variable = "MG_USERS_ADMIN_PASSWORD"
        if not local_default:
            passwords.check_password_rules(password, username=s.admin_username, email=s.admin_email)
    except BadRequest as error:
        raise WrongSettings(f"{variable}: {error.message}") from error


def _administrator(s: Settings, username: str) -> User:
    return User(
        id=str(uuid.uuid4()),
        first_name=s.admin_first_name,
        last_name=s.admin_last_name,
        email=canonical_email(s.admin_email),
        username=username,
        role=Role.ADMIN,
        metadata={"role": "admin"},
        created_at=datetime.now(UTC),
    )


def _grant(user_ids: list[str]) -> None:
    """Write the relations. After a failure, leave this and all further relations to the outbox."""
    away = False
    for user_id in user_ids:
        try:
            if not away:
                settle(user_id)  # reads the role again, because a demotion may have come first
        except Unavailable:
            logger.warning("relations left to the outbox")
            away = True
        if away:
            record(user_id, [outbox_records.relation_repair(user_id)])
