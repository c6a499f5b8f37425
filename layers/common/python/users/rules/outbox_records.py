"""Records of the outbox: the events, mails and other effects of a change.

The change's transaction writes them. ``deliver_outbox`` delivers them, soon after ``steps.wake`` invokes it. A record's
``payload`` never contains a secret, a token or private metadata.
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
    """One thing to deliver. Receivers deduplicate by ``id``."""

    channel: Channel
    name: str
    payload: dict[str, Any]
    # Columns of the changed row that join an event's payload unless they are empty (repository.changes).
    row_keys: tuple[str, ...] = ()
    # Write this mail only for a verified address of the account, and send it there (repository.outbox).
    to_verified: bool = False
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


def event(operation: str, request_id: str, payload: dict[str, Any]) -> Record:
    """Return the event of an operation such as ``user.create``, with the keys of every event (contract §7.1, §7.2)."""
    keys = {"operation": operation, "request_id": request_id, "occurred_at": time.time_ns()}
    return Record(channel="event", name=operation, payload={**payload, **keys})


def user_created(user: User, session: Session | None, request_id: str) -> Record:
    """Return ``user.create`` (contract §7.2), without private metadata (decisions 21)."""
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
    """Return ``user.view_profile`` (contract §7.2), for ``MG_USERS_READ_EVENTS`` only."""
    payload = _viewed(user, session, super_admin=user.role == Role.ADMIN)
    return event("user.view_profile", request_id, payload)


def users_searched(listing: "Listing", request_id: str) -> Record:
    """Return ``user.search`` (contract §7.2), for ``MG_USERS_READ_EVENTS`` only."""
    payload = {"total": 0, "offset": listing.offset, "limit": listing.limit, **listing.contains}
    return event("user.search", request_id, payload)


def account_purged(request_id: str) -> Record:
    """Return ``user.purge``, which upstream lacks. The statement that removes accounts writes one for each account."""
    return event("user.purge", request_id, {})


def user_viewed(user: User, session: Session, request_id: str, *, super_admin: bool) -> Record:
    """Return ``user.view`` (contract §7.2), for ``MG_USERS_READ_EVENTS`` only."""
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
    """Return ``user.list`` (contract §7.2), for ``MG_USERS_READ_EVENTS`` only. ``total`` is 0, as upstream's."""
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


# Columns of the changed row in the events of a change (contract §7.2).
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
    """Return the event of a change. The statement that makes the change adds the row's columns."""
    payload = {"token_type": session.token_type_name, "super_admin": super_admin}
    if operation != "user.delete":
        payload |= {"updated_at": rfc3339(at), "updated_by": session.user_id}
    keys = {"operation": operation, "request_id": request_id, "occurred_at": time.time_ns()}
    return Record(channel="event", name=operation, payload=payload | keys, row_keys=_CHANGED_KEYS[operation])


def verification_sent(user_id: str, session: Session, request_id: str) -> Record:
    """Return ``user.send_verification`` (contract §7.2)."""
    payload = {"user_id": user_id, "token_type": session.token_type_name}
    return event("user.send_verification", request_id, payload)


def email_verified(user_id: str, email: str, request_id: str, *, at: datetime) -> Record:
    """Return ``user.verify_email`` (contract §7.2)."""
    return event("user.verify_email", request_id, {"user_id": user_id, "email": email, "verified_at": rfc3339(at)})


def token_refreshed(request_id: str) -> Record:
    """Return ``user.refresh_token`` (contract §7.2)."""
    return event("user.refresh_token", request_id, {})


def token_revoked(token_id: str, request_id: str) -> Record:
    """Return ``user.revoke_refresh_token`` (contract §7.2)."""
    return event("user.revoke_refresh_token", request_id, {"token_id": token_id})


def secret_reset(request_id: str) -> Record:
    """Return ``user.reset_secret`` (contract §7.2)."""
    return event("user.reset_secret", request_id, {})


def revocation(token_ids: list[str]) -> Record:
    """Return the request to Auth to revoke refresh tokens after a change of their account (decisions 15)."""
    return Record(channel="revocation", name="refresh_tokens", payload={"token_ids": token_ids})


def notice_mail(
    name: str, email: str, *, at: datetime, address: str = "", proven: bool = False, **details: str
) -> Record:
    """Return the mail to ``email`` about a change. None of its links changes anything.

    ``at`` is the time of the change, ``address`` the network address that requested it, empty if unknown. ``details``
    are further values of the mail's template. The mail goes to a verified address only, because nobody has proven that
    any other address belongs to the account (decisions 34). ``proven`` is for a change by the link of a mail, because
    the user of the link has read that mailbox.
    """
    payload = {"email": email, "at": at.isoformat(), "address": address, **details}
    kept = {key: value for key, value in payload.items() if value}
    return Record(channel="mail", name=name, payload=kept, to_verified=not proven)


def administrator_notice(at: datetime) -> dict[str, str]:
    """Return the payload of ``new_administrator``, which the statement of the change sends to each administrator.

    It contains no network address: administrators do not learn each other's.
    """
    return {"at": at.isoformat()}


def removal_warning(email: str, removal_at: datetime) -> Record:
    """Return the mail with the date on which a deleted or disabled account will be removed (decisions 18)."""
    return Record(
        channel="mail", name="account_removal", payload={"email": email, "removal_at": removal_at.isoformat()}
    )


def token_issued(identity: str, request_id: str) -> Record:
    """Return ``user.issue_token`` (contract §7.2). ``identity`` is the typed name or address."""
    return event("user.issue_token", request_id, {"username": identity})


def verification_mail(email: str) -> Record:
    """Return the mail whose link verifies ``email`` for the record's account."""
    return Record(channel="mail", name="verification", payload={"email": email})


def verification_reminder(email: str, removal_at: datetime) -> Record:
    """Return the mail that asks to verify the address before the account is removed at ``removal_at``."""
    payload = {"email": email, "removal_at": removal_at.isoformat()}
    return Record(channel="mail", name="verification_reminder", payload=payload)


def invitation_mail(email: str) -> Record:
    """Return the mail whose link lets the owner of ``email`` set the first password of an account."""
    return Record(channel="mail", name="invitation", payload={"email": email})


def reset_request(email: str, request_id: str) -> Record:
    """Return a request for a reset mail. Delivery looks for an account with that address (S4)."""
    return Record(channel="reset_request", name="password_reset", payload={"email": email, "request_id": request_id})


def relation_repair(user_id: str) -> Record:
    """Return the request to make the account's relations match its row at the time of delivery."""
    return Record(channel="relation", name="settle", payload={"user_id": user_id})
