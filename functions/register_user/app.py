"""POST /users: register an account (contract §1.6.1, decisions 9, 11, 13, 19, 27, 35).

A person who registers chooses a password and proves the address by the verification mail. The owner of an account that
an administrator makes does both by the link of an invitation. The administrator may leave the password out.
"""

import uuid
from datetime import UTC, datetime
from typing import Any, NoReturn

from pydantic import Field

from users.access import ADMINISTRATOR, ADMINISTRATOR_IN_PERSON, ANYBODY
from users.edge.body import Body, Strings
from users.edge.http import Reply, Request, operation
from users.errors import BadRequest, Forbidden, TooManyRequests, Unauthenticated
from users.models import Role, Status, User
from users.repository import accounts
from users.repository.registrations import count_registration
from users.rules import outbox_records, passwords
from users.rules.broken_rules import Rules, all_rules
from users.rules.email_addresses import canonical_email
from users.rules.fields import (
    check_name,
    check_name_size,
    check_profile_picture,
    check_sizes,
    check_username,
    is_reserved,
    reserved_username,
)
from users.rules.mailboxes import mailbox_digest
from users.rules.outbox_records import Record
from users.settings import settings
from users.steps.granting import grant_or_repair
from users.steps.wake import wake_delivery

_STATUSES = {"": Status.ENABLED, "enabled": Status.ENABLED, "disabled": Status.DISABLED}
_ROLES = {"": Role.USER, "user": Role.USER, "admin": Role.ADMIN}
_USERNAME = "credentials.username"


class Credentials(Body):
    """The login name and the password."""

    username: str = ""
    secret: str = ""


class Registration(Body):
    """The whole User object, as SDKs send it. Fields that a client may not choose are ignored (decisions 13)."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    credentials: Credentials = Credentials()
    tags: Strings = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    private_metadata: dict[str, Any] = Field(default_factory=dict)
    profile_picture: str = ""
    status: object = ""
    role: object = ""
    # Read for their types only (contract §1.6.1).
    id: str = ""
    permissions: Strings = Field(default_factory=list)
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
    """Check, hash, store with events and mails, then write the relation of the new member."""
    by_admin = not settings().allow_self_register
    if by_admin:  # only administrators register here, so the bearer comes before the body (contract §1.2)
        request.require(ADMINISTRATOR)
    body = request.body(Registration)
    with all_rules() as rules:
        status, role = rules.read(Status.ENABLED, _status, body.status), rules.read(Role.USER, _role, body.role)
        by_admin = by_admin or _is_administrator(request)
        email = _check(rules, body, may_lack_secret=by_admin)
        if not by_admin:
            if role != Role.USER or status != Status.ENABLED:
                _refuse_privilege(request)
            rules.check(_check_not_reserved, body.credentials.username)
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
    records = [outbox_records.user_created(user, request.session, request.request_id)]
    secret = body.credentials.secret
    secret_hash = passwords.hash_password(secret) if secret else None
    mails = _mails(user, by_admin=by_admin, has_secret=bool(secret))
    mailbox = mailbox_digest(email) if mails else ""
    accounts.register(user, secret_hash, records, mails, mailbox=mailbox, self_registered=not by_admin)
    grant_or_repair(user.id, user.role)
    wake_delivery()
    return Reply(201, user.as_json(), {"Location": f"/users/{user.id}"})


def _is_administrator(request: Request) -> bool:
    """Return whether the bearer is the access token of an administrator: no PAT, no API key.

    Where everybody may register, any other bearer counts as none: browsers without a session send ``undefined``
    (contract §1.2). Only a bearer that looks like an access token is checked, so that Auth is not asked about others.
    """
    if request.headers.get("authorization", "").count(".") != 2:
        return False
    try:
        request.require(ADMINISTRATOR_IN_PERSON)
    except (Unauthenticated, Forbidden):
        request.access, request.session = ANYBODY, None
        return False
    return True


def _refuse_privilege(request: Request) -> NoReturn:
    """Raise Forbidden, because only administrators give this role or status.

    The code names a personal access token, an API key, or a refusal by the policy store where that is the reason.
    """
    try:
        request.require(ADMINISTRATOR)
    except Unauthenticated as error:
        raise _not_administrator() from error
    raise _not_administrator()


def _not_administrator() -> Forbidden:
    return Forbidden("not_administrator", "not authorized to perform admin action")


def _count(request: Request) -> None:
    """Count the self-registration against the limit of its address, also when a name is taken (S10)."""
    limit = settings().registrations_per_hour
    wait = count_registration(request.address, limit) if limit else None
    if wait is not None:
        raise TooManyRequests(wait)


def _mails(user: User, *, by_admin: bool, has_secret: bool) -> list[Record]:
    """Return the mail by which the owner proves the address. An account without a password always gets one.

    An account that is not enabled gets none, because its link would not work.
    """
    if by_admin:
        is_wanted = user.status == Status.ENABLED and (settings().verify_on_register or not has_secret)
        return [outbox_records.invitation_mail(user.email)] if is_wanted else []
    return [outbox_records.verification_mail(user.email)] if settings().verify_on_register else []


def _check(rules: Rules, body: Registration, *, may_lack_secret: bool) -> str:
    """Check in the order of contract §1.6.1. Return the address as it is stored.

    An administrator may leave the password out.
    """
    names = {"first_name": body.first_name, "last_name": body.last_name}
    for field, name in names.items():
        rules.check(check_name_size, name, field)
    for field, name in names.items():
        rules.check(check_name, name, field.replace("_", " "))
    rules.check(check_username, body.credentials.username, _USERNAME)
    email = rules.read(body.email, canonical_email, body.email)
    secret = body.credentials.secret
    if secret or not may_lack_secret:
        username = body.credentials.username
        rules.check(passwords.check_password_rules, secret, username=username, email=email, field="credentials.secret")
    rules.check(check_profile_picture, body.profile_picture)
    sizes = {name: getattr(body, name) for name in ("metadata", "private_metadata", "tags", "profile_picture")}
    rules.check(check_sizes, sizes)
    return email


def _check_not_reserved(username: str) -> None:
    if is_reserved(username):
        raise reserved_username(_USERNAME)


def _status(value: object) -> Status:
    if not isinstance(value, str) or value not in _STATUSES:
        detail = "status must be enabled or disabled"
        raise BadRequest("invalid_status", "invalid status", field="status", detail=detail)
    return _STATUSES[value]


def _role(value: object) -> Role:
    if not isinstance(value, str) or value not in _ROLES:
        raise BadRequest("invalid_role", "invalid client role", field="role", detail="role must be user or admin")
    return _ROLES[value]
