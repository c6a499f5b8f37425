"""POST /users/{id}/enable: enable an account, or restore a deleted one, for administrators (decisions 16, 17)."""

from users.access import ADMINISTRATOR
from users.edge.http import Reply, Request, operation
from users.errors import Conflict
from users.models import Status
from users.repository import changes
from users.rules import outbox_records
from users.steps.target import changed, find_target, status_already_assigned


@operation("enable_user", access=ADMINISTRATOR)
def lambda_handler(request: Request) -> Reply:
    """Answer 409 for an account that is enabled or being removed."""
    target = find_target(request, "user.enable")
    # The mail shows no network address: the account's owner must not learn the administrator's.
    records = [target.event, outbox_records.notice_mail("account_enabled", target.user.email, at=target.at)]
    user = changes.update_status(target.user.id, Status.ENABLED, records, by=target.caller.id, at=target.at)
    if user is None:
        if target.user.status != Status.ENABLED:
            raise Conflict("removal_begun", "the account is being removed")
        raise status_already_assigned()
    return changed(user)
