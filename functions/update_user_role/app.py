"""PATCH /users/{id}/role: promote or demote, for administrators (contract §1.6.17, decisions 15, 16).

A promotion commits first, and the outbox repairs the relation. A demotion takes the relation away first. So no failure
leaves an account with a relation that its row no longer allows.
"""

from users.access import ADMINISTRATOR_IN_PERSON
from users.edge.body import Body
from users.edge.http import Reply, Request, operation
from users.errors import BadRequest, Conflict, NotFound, Unavailable
from users.models import Role, Status, User
from users.repository import changes
from users.rules.outbox_records import Record
from users.steps.granting import grant_or_repair, revoke_administration
from users.steps.sessions import revocations
from users.steps.target import Target, changed, find_target, notice

_ROLES = {"user": Role.USER, "admin": Role.ADMIN}


class RoleUpdate(Body):
    """``user`` or ``admin``."""

    role: str = ""


@operation("update_user_role", access=ADMINISTRATOR_IN_PERSON)
def lambda_handler(request: Request) -> Reply:
    """Change the role of an enabled account. The last enabled administrator keeps the role."""
    user_id = request.user_id
    role = _ROLES.get(request.body(RoleUpdate).role)
    if role is None:
        raise BadRequest("invalid_role", "invalid client role", field="role", detail="role must be user or admin")
    target = find_target(request, "user.update_role")
    if target.user.status != Status.ENABLED:
        raise NotFound
    ended = revocations(user_id) if target.user.role != role else []
    records = [target.event, *_notices(request, target, role), *ended]
    if role == Role.ADMIN:
        user = changes.update_role(user_id, role, records, by=target.caller.id, at=target.at)
        if user is not None:
            grant_or_repair(user.id, role)
        return changed(user)
    return changed(_demote(target, records))


def _notices(request: Request, target: Target, role: Role) -> list[Record]:
    """Return the mail to the account. An account that has the role already gets none."""
    if target.user.role == role:
        return []
    return [notice(request, target, "administrator_added" if role == Role.ADMIN else "administrator_removed")]


def _demote(target: Target, records: list[Record]) -> User:
    """Take the relation away, then the role. Where the role must stay, grant the relation again."""
    revoke_administration(target.user.id)
    try:
        user = changes.update_role(target.user.id, Role.USER, records, by=target.caller.id, at=target.at)
    except Unavailable:
        grant_or_repair(target.user.id, target.user.role)
        raise
    if (
        user is None and target.user.role != Role.ADMIN
    ):  # another change came first: the account is not enabled any more
        raise NotFound
    if user is None:
        grant_or_repair(target.user.id, Role.ADMIN)
        raise Conflict("last_administrator", "the last enabled administrator cannot be demoted")
    return user
