"""POST /users: register an account (contract §1.6.1; decisions.md 9, 11, 13, 19, 27)."""

import uuid
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from users import outbox, passwords, policies
from users.access import ADMINISTRATOR, ANYBODY
from users.body import Body
from users.edge import Reply, Request, operation
from users.errors import BadRequest, Forbidden, Unauthenticated, Unavailable
from users.fields import check_email, check_name, check_name_size, check_profile_picture, check_username
from users.log import logger
from users.models import Role, Status, User
from users.repository import accounts
from users.repository.outbox import record
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
    body = request.body(Registration)
    status, role = _status(body.status), _role(body.role)
    _check(body)
    by_admin = not settings().allow_self_register or role != Role.USER or status != Status.ENABLED
    if by_admin:
        _require_administrator(request)
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
        email=body.email,
        created_at=datetime.now(UTC),
    )
    records = [outbox.user_created(user, request.session, request.request_id)]
    if settings().verify_on_register and not by_admin:
        records.append(outbox.verification_mail(user.email))
    accounts.register(user, passwords.hash_password(body.credentials.secret), records)
    _grant(user)
    wake_delivery()
    return Reply(201, user.as_json(), {"Location": f"/users/{user.id}"})


def _require_administrator(request: Request) -> None:
    """401 without a token where self-registration is off; 403 for anybody who wants what only admins may give."""
    try:
        request.require(ADMINISTRATOR)
    except Unauthenticated as error:
        if settings().allow_self_register:
            raise Forbidden("not_administrator", "not authorized to perform admin action") from error
        raise


def _check(body: Registration) -> None:
    """The contract's order of rules, §1.6.1."""
    check_name_size(body.first_name)
    check_name_size(body.last_name)
    check_name(body.first_name, "first name")
    check_name(body.last_name, "last name")
    check_username(body.credentials.username)
    check_email(body.email)
    passwords.check_password_rules(body.credentials.secret, username=body.credentials.username, email=body.email)
    check_profile_picture(body.profile_picture)


def _status(value: object) -> Status:
    if not isinstance(value, str) or value not in _STATUSES:
        raise BadRequest("invalid_status", "invalid status")
    return _STATUSES[value]


def _role(value: object) -> Role:
    if not isinstance(value, str) or value not in _ROLES:
        raise BadRequest("invalid_role", "invalid client role")
    return _ROLES[value]


def _grant(user: User) -> None:
    """Write the membership; what cannot be written now, the outbox repairs. The answer stays 201 (architecture.md)."""
    try:
        policies.grant(user.id, user.role)
    except Unavailable:
        logger.warning("relation left to the outbox")
        try:
            record(user.id, [outbox.relation_repair(user.id, user.role)])
        except Unavailable:
            # The account is committed; the user's first login repairs what neither store would take now.
            logger.warning("relation left to the first login")
