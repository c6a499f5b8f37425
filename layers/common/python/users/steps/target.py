"""The frame of an operation that changes one account: caller, target and answer (contract §1.5, §1.6.12–§1.6.20)."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from users.access import Account
from users.edge.http import Reply, Request
from users.errors import Conflict, NotFound
from users.models import User
from users.repository.accounts import find_caller_and_target
from users.rules import outbox_records
from users.rules.outbox_records import Record
from users.steps.wake import wake_delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An admitted caller, the account to change, the time of the change, and the event of the change."""

    caller: Account
    user: User
    at: datetime
    event: Record


def find_target(request: Request, operation: str) -> Target:
    """Return the account of the path, for itself or an administrator. Forbidden for others, NotFound for no account.

    ``operation`` is the name of the event, such as ``user.update``.
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
    """Return the mail to the account's owner about the change, for ``repository.changes``.

    The mail shows the network address of a change by the owner. It never shows the address of an administrator. A
    function that calls this needs the origin's secret in template.yaml (Request.address).
    """
    address = request.address if target.caller.id == target.user.id else ""
    return outbox_records.notice_mail(name, target.user.email, at=target.at, address=address, proven=False, **details)


def status_already_assigned() -> Conflict:
    """Return the refusal of a change to the status that the account has already."""
    return Conflict("status_already_assigned", "status already assigned")


def changed(user: User | None, *, shows_picture: bool = False) -> Reply:
    """Wake the delivery and return the answer of a committed change. NotFound when no enabled account was changed.

    The provider is never shown here, and the picture by some operations only: upstream's columns, contract §1.5.
    """
    if user is None:
        raise NotFound
    wake_delivery()
    shown = replace(user, auth_provider="", profile_picture=user.profile_picture if shows_picture else "")
    return Reply(200, shown.as_json())
