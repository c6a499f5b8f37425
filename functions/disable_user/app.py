"""POST /users/{id}/disable: end an account's sessions and refuse its logins (contract §4.5, decisions 16)."""

from users.access import SIGNED_IN
from users.edge.http import Reply, Request, operation
from users.errors import Conflict
from users.models import Role, Status
from users.repository import changes
from users.steps.sessions import revocations
from users.steps.target import changed, find_target, notice, status_already_assigned


@operation("disable_user", access=SIGNED_IN)
def lambda_handler(request: Request) -> Reply:
    """Answer 409 for an account that is not enabled, and for the last enabled administrator."""
    target = find_target(request, "user.disable")
    if target.user.status == Status.DELETED:
        raise Conflict("account_deleted", "the account is deleted")
    if target.user.status != Status.ENABLED:
        raise status_already_assigned()
    records = [target.event, notice(request, target, "account_disabled"), *revocations(target.user.id)]
    user = changes.update_status(target.user.id, Status.DISABLED, records, by=target.caller.id, at=target.at)
    if user is None and target.user.role == Role.ADMIN:
        raise Conflict("last_administrator", "the last enabled administrator cannot be disabled")
    if user is None:  # another change came first
        raise status_already_assigned()
    return changed(user)
