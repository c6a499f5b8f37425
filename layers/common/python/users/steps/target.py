"""The frame of an operation that changes one account: who acts, on whom, and the answer (contract §1.5, §1.6.12–20)."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from users.access import Account
from users.edge.http import Reply, Request
from users.errors import Conflict, NotFound
from users.models import User
from users.repository.changes import find_caller_and_target
from users.rules import outbox_records
from users.rules.outbox_records import Record
from users.steps.wake import wake_delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An admitted caller, the account acted on, the time of the change, and the event that tells of it."""

    caller: Account
    user: User
    at: datetime
    event: Record


def find_target(request: Request, operation: str) -> Target:
    """The account of the path, for itself or an administrator; Forbidden for others, NotFound when there is none.

    ``operation`` is the event's, such as ``user.update``.
    """
    user_id = request.user_id
    account, user = find_caller_and_target(request.caller.user_id, user_id)
    caller = request.admit_for(account, user_id)
    if user is None:
        raise NotFound
    at = datetime.now(UTC)
    event = outbox_records.user_changed(
        operation, request.caller, request.request_id, at=at, super_admin=caller.is_admin
    )
    return Target(caller=caller, user=user, at=at, event=event)


def notice(request: Request, target: Target, name: str, **details: str) -> Record:
    """Return the mail that tells the account's owner of the change, for ``repository.changes``.

    It says from which network address the change came, when the owner made it. The address of an administrator is not
    told to others. A function that calls this needs the origin's secret in template.yaml (Request.address).
    """
    address = request.address if target.caller.id == target.user.id else ""
    return outbox_records.notice_mail(name, target.user.email, at=target.at, address=address, proven=False, **details)


def status_already_assigned() -> Conflict:
    """Return the refusal of a change to the status that the account has already."""
    return Conflict("status_already_assigned", "status already assigned")


def changed(user: User | None, *, shows_picture: bool = False) -> Reply:
    """The answer of a change that is committed; NotFound when no enabled account was there to change.

    The provider is never shown here, and the picture by some operations only: upstream's columns, contract §1.5.
    """
    if user is None:
        raise NotFound
    wake_delivery()
    shown = replace(user, auth_provider="", profile_picture=user.profile_picture if shows_picture else "")
    return Reply(200, shown.as_json())
