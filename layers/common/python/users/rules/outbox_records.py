"""What a change causes, written in its transaction and delivered afterwards: events, mails, relations.

``deliver_outbox`` delivers; ``wake`` tells it to hurry. In a record's ``payload`` there is never a secret, a token or
private metadata.
"""

import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from users.access import Session
from users.models import Role, Status, User, rfc3339

if TYPE_CHECKING:
    from users.rules.listing import Listing

Channel = Literal["event", "mail", "relation", "reset_request", "revocation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing to deliver. ``id`` is what receivers deduplicate by."""

    channel: Channel
    name: str
    payload: dict[str, Any]
    # Keys that the changed row adds to an event's payload, as far as they are not empty (repository.changes).
    row_keys: tuple[str, ...] = ()
    # A mail that is written only where the account's address is verified, and then to that address (repository.outbox).
    to_verified: bool = False
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


def event(operation: str, request_id: str, payload: dict[str, Any]) -> Record:
    """The event of an operation such as ``user.create``, with the keys that every event has (contract §7.1, §7.2)."""
    keys = {"operation": operation, "request_id": request_id, "occurred_at": time.time_ns()}
    return Record(channel="event", name=operation, payload={**payload, **keys})


def user_created(user: User, session: Session | None, request_id: str) -> Record:
    """``user.create`` (contract §7.2), without private metadata (decisions 21)."""
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
    payload = _viewed(user, session, super_admin=user.role == Role.ADMIN)
    return event("user.view_profile", request_id, payload)


def users_searched(listing: "Listing", request_id: str) -> Record:
    """``user.search`` (contract §7.2), written only with ``MG_USERS_READ_EVENTS``."""
    payload = {"total": 0, "offset": listing.offset, "limit": listing.limit, **listing.contains}
    return event("user.search", request_id, payload)


def account_purged(request_id: str) -> Record:
    """``user.purge``, ours: the account is gone for good. The statement that removes accounts makes one of each."""
    return event("user.purge", request_id, {})


def user_viewed(user: User, session: Session, request_id: str, *, super_admin: bool) -> Record:
    """``user.view`` (contract §7.2), written only with ``MG_USERS_READ_EVENTS``."""
    last_name = {"last_name": user.last_name} if user.last_name else {}
    return event("user.view", request_id, _viewed(user, session, super_admin=super_admin) | last_name)


def _viewed(user: User, session: Session, *, super_admin: bool) -> dict[str, Any]:
    optional = {
        "first_name": user.first_name,
        "tags": user.tags,
        "email": user.email,
        "username": user.username,
        "created_at": rfc3339(user.created_at) if user.created_at else "",
        "updated_at": rfc3339(user.updated_at) if user.updated_at else "",
        "updated_by": user.updated_by,
    }
    return {
        "id": user.id,
        "token_type": session.token_type_name,
        "super_admin": super_admin,
        "status": Status(user.status).name.lower(),
        "metadata": user.metadata,
        **{key: value for key, value in optional.items() if value},
    }


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


# What the row adds to the events of a change (contract §7.2).
_ACCOUNT_KEYS = ("id", "status", "first_name", "last_name", "tags", "username", "email", "metadata", "created_at")
_CHANGED_KEYS = {
    "user.update": _ACCOUNT_KEYS,
    "user.update_tags": _ACCOUNT_KEYS,
    "user.update_email": _ACCOUNT_KEYS,
    "user.update_role": _ACCOUNT_KEYS,
    "user.update_secret": _ACCOUNT_KEYS,
    "user.update_username": ("id", "first_name", "last_name", "username"),
    "user.update_profile_picture": ("id", "profile_picture"),
    "user.enable": ("id", "status"),
    "user.disable": ("id", "status"),
    "user.delete": ("id",),
}


def user_changed(operation: str, session: Session, request_id: str, *, at: datetime, super_admin: bool) -> Record:
    """The event of a change of a row, which the statement that makes the change completes from the row."""
    payload = {"token_type": session.token_type_name, "super_admin": super_admin}
    if operation != "user.delete":
        payload |= {"updated_at": rfc3339(at), "updated_by": session.user_id}
    keys = {"operation": operation, "request_id": request_id, "occurred_at": time.time_ns()}
    return Record(channel="event", name=operation, payload=payload | keys, row_keys=_CHANGED_KEYS[operation])


def verification_sent(user_id: str, session: Session, request_id: str) -> Record:
    """``user.send_verification`` (contract §7.2)."""
    payload = {"user_id": user_id, "token_type": session.token_type_name}
    return event("user.send_verification", request_id, payload)


def email_verified(user_id: str, email: str, request_id: str, *, at: datetime) -> Record:
    """``user.verify_email`` (contract §7.2)."""
    return event("user.verify_email", request_id, {"user_id": user_id, "email": email, "verified_at": rfc3339(at)})


def token_refreshed(request_id: str) -> Record:
    """``user.refresh_token`` (contract §7.2)."""
    return event("user.refresh_token", request_id, {})


def token_revoked(token_id: str, request_id: str) -> Record:
    """``user.revoke_refresh_token`` (contract §7.2)."""
    return event("user.revoke_refresh_token", request_id, {"token_id": token_id})


def secret_reset(request_id: str) -> Record:
    """``user.reset_secret`` (contract §7.2)."""
    return event("user.reset_secret", request_id, {})


def revocation(token_ids: list[str]) -> Record:
    """Refresh tokens that Auth is to forget, because the account changed under them (decisions 15)."""
    return Record(channel="revocation", name="refresh_tokens", payload={"token_ids": token_ids})


def notice_mail(
    name: str, email: str, *, at: datetime, address: str = "", proven: bool = False, **details: str
) -> Record:
    """Return the mail that tells ``email`` of a change; it holds no link that does anything.

    ``at`` is when the change was made, ``address`` the network address that asked for it, empty where nobody knows.
    ``details`` are what the template of this mail needs beside. The mail goes to a verified address only: to
    others nobody ever proved that they belong to the account (decisions 34). ``proven`` is for a change that the
    link of a mail made: its holder has read that mailbox.
    """
    payload = {"email": email, "at": at.isoformat(), "address": address, **details}
    kept = {key: value for key, value in payload.items() if value}
    return Record(channel="mail", name=name, payload=kept, to_verified=not proven)


def administrator_notice(at: datetime) -> dict[str, str]:
    """Return the payload of ``new_administrator``, which the statement of the change sends to each administrator.

    It names no network address: that of the administrator who made the change is not told to the others.
    """
    return {"at": at.isoformat()}


def removal_warning(email: str, removal_at: datetime) -> Record:
    """The mail that tells ``email`` when its deleted or disabled account will be removed (decisions 18)."""
    return Record(
        channel="mail", name="account_removal", payload={"email": email, "removal_at": removal_at.isoformat()}
    )


def token_issued(identity: str, request_id: str) -> Record:
    """``user.issue_token`` (contract §7.2); ``identity`` is what was typed."""
    return event("user.issue_token", request_id, {"username": identity})


def verification_mail(email: str) -> Record:
    """The mail whose link verifies ``email`` for the account that the record belongs to."""
    return Record(channel="mail", name="verification", payload={"email": email})


def verification_reminder(email: str, removal_at: datetime) -> Record:
    """The mail that reminds ``email`` to verify the address, because its account will be removed at ``removal_at``."""
    payload = {"email": email, "removal_at": removal_at.isoformat()}
    return Record(channel="mail", name="verification_reminder", payload=payload)


def invitation_mail(email: str) -> Record:
    """The mail whose link lets the owner of ``email`` set the password of an account that an administrator made."""
    return Record(channel="mail", name="invitation", payload={"email": email})


def reset_request(email: str, request_id: str) -> Record:
    """A wish for a reset mail. Whether an account has that address is found out at delivery (S4)."""
    return Record(channel="reset_request", name="password_reset", payload={"email": email, "request_id": request_id})


def relation_repair(user_id: str) -> Record:
    """The account's relations are to be made what its row says when this is delivered."""
    return Record(channel="relation", name="settle", payload={"user_id": user_id})
