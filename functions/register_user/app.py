"""POST /users: register an account (contract §1.6.1; decisions.md 9, 11, 13, 19, 27)."""

import uuid
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from users import outbox, passwords
from users.access import ADMINISTRATOR, ADMINISTRATOR_IN_PERSON, ANYBODY
from users.body import Body
from users.edge import Reply, Request, operation
from users.email_addresses import canonical_email
from users.errors import BadRequest, Forbidden, TooManyRequests, Unauthenticated
from users.fields import (
    check_name,
    check_name_size,
    check_profile_picture,
    check_username,
    is_reserved,
    reserved_username,
)
from users.granting import grant_or_repair
from users.models import Role, Status, User
from users.repository import accounts
from users.repository.throttles import count_registration
from users.settings import settings
from users.wake import wake_delivery

_STATUSES = {"": Status.ENABLED, "enabled": Status.ENABLED, "disabled": Status.DISABLED}
_ROLES = {"": Role.USER, "user": Role.USER, "admin": Role.ADMIN}


class Credentials(Body):
    """The login name and the password."""

    username: str = ""
    secret: str = ""


class Registration(Body):
    """The whole User object is taken, as SDKs send it; what a client may not choose is ignored (decisions.md 13)."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    credentials: Credentials = Credentials()
    tags: list[str] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    private_metadata: dict[str, Any] = Field(default_factory=dict)
    profile_picture: str = ""
    status: object = ""
    role: object = ""
    # Read for their types only (contract §1.6.1).
    id: str = ""
    permissions: list[str] = Field(default_factory=list)
    updated_by: str = ""
    auth_provider: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    verified_at: datetime | None = None

    @classmethod
    def takes_null(cls) -> frozenset[str]:
        """``null`` is no status and no role, rather than none given."""
        return frozenset({"status", "role"})


@operation("register_user", access=ANYBODY)
def lambda_handler(request: Request) -> Reply:
    """Check, hash, store with the events and mails it causes, then let Auth know of the new member."""
    by_admin = not settings().allow_self_register
    if by_admin:
        request.require(ADMINISTRATOR)  # where there is no other way, the bearer comes before the body (contract §1.2)
    body = request.body(Registration)
    status, role = _status(body.status), _role(body.role)
    email = _check(body)
    if not by_admin and (role != Role.USER or status != Status.ENABLED):
        _require_administrator(request)
        by_admin = True
    if not by_admin and is_reserved(body.credentials.username):
        _require_administrator_of_reserved(request)
        by_admin = True
    if not by_admin:
        _count(request)
    user = User(
        id=str(uuid.uuid4()),
        first_name=body.first_name,
        last_name=body.last_name,
        tags=body.tags,
        metadata=body.metadata,
        private_metadata=body.private_metadata,
        status=status,
        role=role,
        profile_picture=body.profile_picture,
        username=body.credentials.username,
        email=email,
        created_at=datetime.now(UTC),
    )
    records = [outbox.user_created(user, request.session, request.request_id)]
    mails = [outbox.verification_mail(user.email)] if settings().verify_on_register and not by_admin else []
    accounts.register(user, passwords.hash_password(body.credentials.secret), records, mails)
    grant_or_repair(user.id, user.role)
    wake_delivery()
    return Reply(201, user.as_json(), {"Location": f"/users/{user.id}"})


def _require_administrator(request: Request) -> None:
    """403 for anybody else, with or without a token, who wants what only admins may give (decisions.md 13)."""
    try:
        request.require(ADMINISTRATOR)
    except Unauthenticated as error:
        raise Forbidden("not_administrator", "not authorized to perform admin action") from error


def _require_administrator_of_reserved(request: Request) -> None:
    """400 for anybody else, with or without a token, who wants a reserved username; a PAT's holder is anybody else."""
    try:
        request.require(ADMINISTRATOR_IN_PERSON)
    except (Unauthenticated, Forbidden) as error:
        raise reserved_username() from error


def _count(request: Request) -> None:
    """Self-registrations are limited per address, also those that find a name taken (security.md S10).

    An administrator's token lifts the limit. It is looked at only where the limit is reached: else it is of no use.
    """
    limit = settings().registrations_per_hour
    wait = count_registration(request.address, limit) if limit else None
    if wait is None:
        return
    try:
        request.require(ADMINISTRATOR)
    except (Unauthenticated, Forbidden) as error:
        raise TooManyRequests(wait) from error


def _check(body: Registration) -> str:
    """Check in the contract's order of rules, §1.6.1; return the address as it is stored."""
    check_name_size(body.first_name)
    check_name_size(body.last_name)
    check_name(body.first_name, "first name")
    check_name(body.last_name, "last name")
    check_username(body.credentials.username)
    email = canonical_email(body.email)
    passwords.check_password_rules(body.credentials.secret, username=body.credentials.username, email=email)
    check_profile_picture(body.profile_picture)
    return email


def _status(value: object) -> Status:
    if not isinstance(value, str) or value not in _STATUSES:
        raise BadRequest("invalid_status", "invalid status")
    return _STATUSES[value]


def _role(value: object) -> Role:
    if not isinstance(value, str) or value not in _ROLES:
        raise BadRequest("invalid_role", "invalid client role")
    return _ROLES[value]
