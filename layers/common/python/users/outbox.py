"""What a change causes, written in its transaction and delivered afterwards: events, mails, relations.

``deliver_outbox`` delivers; ``wake`` tells it to hurry. In a record's ``payload`` there is never a secret, a token or
private metadata.
"""

import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from users.access import Session
from users.models import Role, Status, User, rfc3339

if TYPE_CHECKING:
    from users.listing import Listing

Channel = Literal["event", "mail", "relation", "reset_request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing to deliver. ``id`` is what receivers deduplicate by."""

    channel: Channel
    name: str
    payload: dict[str, Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


def event(operation: str, request_id: str, payload: dict[str, Any]) -> Record:
    """The event of an operation such as ``user.create``, with the keys that every event has (contract §7.1, §7.2)."""
    keys = {"operation": operation, "request_id": request_id, "occurred_at": time.time_ns()}
    return Record(channel="event", name=operation, payload={**payload, **keys})


def user_created(user: User, session: Session | None, request_id: str) -> Record:
    """``user.create`` (contract §7.2), without private metadata (decisions.md 21)."""
    optional = {
        "first_name": user.first_name,
        "last_name": user.last_name,
        "tags": user.tags,
        "username": user.username,
        "email": user.email,
    }
    payload = {
        "id": user.id,
        "status": Status(user.status).name.lower(),
        "created_at": rfc3339(user.created_at),
        "token_type": session.token_type_name if session else "access token",
        "super_admin": session is not None,
        "metadata": user.metadata,
        **{key: value for key, value in optional.items() if value},
    }
    return event("user.create", request_id, payload)


def profile_viewed(user: User, session: Session, request_id: str) -> Record:
    """``user.view_profile`` (contract §7.2), written only with ``MG_USERS_READ_EVENTS``."""
    optional = {
        "first_name": user.first_name,
        "tags": user.tags,
        "email": user.email,
        "username": user.username,
        "created_at": rfc3339(user.created_at) if user.created_at else "",
        "updated_at": rfc3339(user.updated_at) if user.updated_at else "",
        "updated_by": user.updated_by,
    }
    payload = {
        "id": user.id,
        "token_type": session.token_type_name,
        "super_admin": user.role == Role.ADMIN,
        "status": Status(user.status).name.lower(),
        "metadata": user.metadata,
        **{key: value for key, value in optional.items() if value},
    }
    return event("user.view_profile", request_id, payload)


def users_listed(listing: "Listing", session: Session, request_id: str) -> Record:
    """``user.list`` (contract §7.2), written only with ``MG_USERS_READ_EVENTS``; ``total`` is 0, as upstream's."""
    optional = {
        "order": listing.order,
        "dir": "desc" if listing.descending else "asc",
        "metadata": listing.metadata,
        "tags": listing.tags,
        **{name: listing.contains.get(name, "") for name in ("first_name", "last_name", "username", "email")},
    }
    payload = {
        "total": 0,
        "offset": listing.offset,
        "limit": listing.limit,
        "token_type": session.token_type_name,
        "super_admin": True,
        "status": "all" if listing.status is None else listing.status.name.lower(),
        **{key: value for key, value in optional.items() if value},
    }
    return event("user.list", request_id, payload)


def token_issued(identity: str, request_id: str) -> Record:
    """``user.issue_token`` (contract §7.2); ``identity`` is what was typed."""
    return event("user.issue_token", request_id, {"username": identity})


def verification_mail(email: str) -> Record:
    """The mail whose link verifies ``email`` for the account that the record belongs to."""
    return Record(channel="mail", name="verification", payload={"email": email})


def reset_request(email: str, request_id: str) -> Record:
    """A wish for a reset mail. Whether an account has that address is found out at delivery (security.md S4)."""
    return Record(channel="reset_request", name="password_reset", payload={"email": email, "request_id": request_id})


def relation_repair(user_id: str, role: int) -> Record:
    """A membership (and administration) that could not be written in the request."""
    return Record(channel="relation", name="grant", payload={"user_id": user_id, "administrator": role == Role.ADMIN})
