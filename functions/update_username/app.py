"""PATCH /users/{id}/username: a new username, by the rules of registration (contract §1.6.15, decisions 19)."""

from users.access import CHANGING_PROFILE
from users.edge.body import Body
from users.edge.http import Reply, Request, operation
from users.parsers import folded_username
from users.repository import changes
from users.rules.fields import check_name_size, check_username, is_reserved, reserved_username
from users.steps.target import changed, find_target, notice


class UsernameUpdate(Body):
    """The new username."""

    username: str = ""


@operation("update_username", access=CHANGING_PROFILE)
def lambda_handler(request: Request) -> Reply:
    """Change the own account or, as administrator, any account. It must be enabled. 409 for a taken username.

    Only an administrator gives a reserved username.
    """
    user_id = request.user_id
    username = request.body(UsernameUpdate).username
    check_name_size(username, "username")
    check_username(username)
    target = find_target(request, "user.update_username")
    is_kept = folded_username(username) == folded_username(target.user.username)
    if is_reserved(username) and not is_kept and not target.caller.is_admin:
        raise reserved_username()
    records = [target.event]
    if username != target.user.username:
        records.append(notice(request, target, "username_changed", username=username))
    user = changes.update(user_id, {"username": username}, records, by=target.caller.id, at=target.at)
    return changed(user)
