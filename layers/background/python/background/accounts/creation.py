"""An account made by the operator, by the rules for administrators (functions/register_user).

The link of an invitation lets the owner set the password and proves the address.
"""

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from background.accounts.administration import OPERATOR, wake_where_possible
from users.edge.body import Body
from users.models import Role, Status, User
from users.repository import accounts
from users.rules import outbox_records, passwords
from users.rules.email_addresses import canonical_email
from users.rules.fields import check_name, check_name_size, check_sizes, check_username
from users.rules.mailboxes import mailbox_digest
from users.settings import settings
from users.steps.granting import grant_or_repair


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """The operator's values. An empty ``secret`` means no password."""

    first_name: str
    last_name: str
    email: str
    username: str
    secret: str = ""
    role: Role = Role.USER
    status: Status = Status.ENABLED
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


class _Metadata(Body):
    metadata: dict[str, Any] = Field(default_factory=dict)


def storable(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata as a registration stores them. BadRequest for deep nesting, NUL and huge numbers."""
    return _Metadata.parse(json.dumps({"metadata": metadata})).metadata


def create(given: NewAccount) -> tuple[User, bool]:
    """Make the account. Return it, and whether its owner gets an invitation.

    BadRequest for values that a registration refuses, Conflict for a taken e-mail address or username. The operator may
    assign reserved usernames.
    """
    email = _check(given)
    user = User(
        id=str(uuid.uuid4()),
        first_name=given.first_name,
        last_name=given.last_name,
        tags=given.tags,
        metadata=given.metadata,
        status=given.status,
        role=given.role,
        username=given.username,
        email=email,
        created_at=datetime.now(UTC),
    )
    records = [outbox_records.user_created(user, OPERATOR, str(uuid.uuid4()))]
    secret_hash = passwords.hash_password(given.secret) if given.secret else None
    # A link is of no use to an account that is not enabled. An account without a password is of no use without a link.
    invites = given.status == Status.ENABLED and (settings().verify_on_register or not given.secret)
    mails = [outbox_records.invitation_mail(email)] if invites else []
    accounts.register(user, secret_hash, records, mails, mailbox=mailbox_digest(email) if invites else "")
    grant_or_repair(user.id, user.role)
    wake_where_possible()
    return user, invites


def _check(given: NewAccount) -> str:
    """Check in the order of a registration (contract §1.6.1). Return the address in its stored spelling."""
    check_name_size(given.first_name, "first_name")
    check_name_size(given.last_name, "last_name")
    check_name(given.first_name, "first name")
    check_name(given.last_name, "last name")
    check_username(given.username)
    email = canonical_email(given.email)
    if given.secret:
        passwords.check_password_rules(given.secret, username=given.username, email=email)
    check_sizes({"metadata": given.metadata, "tags": given.tags})
    return email
