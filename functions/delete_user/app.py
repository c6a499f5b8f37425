"""DELETE /users/{id}: mark the own account, or any as administrator, as deleted (contract §4.5, decisions 16, 17).

``?purge=true`` by an administrator, or a grace period of ``0s``, removes the account at once.
"""

from datetime import timedelta

from users.access import IN_PERSON
from users.edge.http import Reply, Request, operation
from users.errors import Conflict, Forbidden
from users.models import Role, Status
from users.repository import changes
from users.repository.purges import Claim, claim_deleted
from users.settings import settings
from users.steps.purge import purge
from users.steps.sessions import revocations
from users.steps.target import Target, changed, find_target, notice, status_already_assigned


@operation("delete_user", access=IN_PERSON)
def lambda_handler(request: Request) -> Reply:
    """Answer 409 for an account that is deleted or being removed, and for the last enabled administrator."""
    wants_purge = request.query.flag("purge") or False
    target = find_target(request, "user.delete")
    if wants_purge and not target.caller.is_admin:
        raise Forbidden("not_administrator", "not authorized to perform admin action")
    if target.user.status != Status.DELETED:
        is_final = wants_purge or settings().delete_after == 0
        _delete(request, target, claims=is_final)
        claim = Claim([target.user.id], target.at) if is_final else None
    elif wants_purge:
        claim = claim_deleted(target.user.id)
        if claim is None:
            raise Conflict("removal_begun", "the account is being removed")
    else:
        raise status_already_assigned()
    if claim:
        purge(claim, request.request_id)
    return Reply(204)


def _delete(request: Request, target: Target, *, claims: bool) -> None:
    """Mark the account deleted and mail its owner. With ``claims`` the removal follows at once, and no mail is sent."""
    records = [target.event]
    if not claims:
        end = target.at + timedelta(seconds=settings().delete_after)
        records.append(notice(request, target, "account_deleted", removal_at=end.isoformat()))
    records += revocations(target.user.id)
    user = changes.update_status(
        target.user.id, Status.DELETED, records, by=target.caller.id, at=target.at, claims=claims
    )
    if user is None:
        if target.user.status == Status.DISABLED:
            raise Conflict("removal_begun", "the account is being removed")
        if target.user.role != Role.ADMIN:  # another deletion came first
            raise status_already_assigned()
        raise Conflict("last_administrator", "the last enabled administrator cannot be deleted")
    changed(user)
