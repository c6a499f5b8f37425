"""PATCH /users/{id}/picture: replace the picture's URL (contract §1.6.14)."""

from users.access import CHANGING_PROFILE
from users.edge.body import Body
from users.edge.http import Reply, Request, operation
from users.repository import changes
from users.rules.broken_rules import all_rules
from users.rules.fields import check_external_provider, check_profile_picture, check_sizes
from users.steps.target import changed, find_target


class PictureUpdate(Body):
    """The new picture. Without one the picture stays, and ``""`` removes it."""

    profile_picture: str | None = None


@operation("update_profile_picture", access=CHANGING_PROFILE)
def lambda_handler(request: Request) -> Reply:
    """Change the own account or, as administrator, any account. It must be enabled."""
    picture = request.body(PictureUpdate).profile_picture
    values = {} if picture is None else {"profile_picture": picture}
    with all_rules() as rules:
        rules.check(check_profile_picture, picture or "")
        target = find_target(request, "user.update_profile_picture")
        check_external_provider(target.user, values)
        rules.check(check_sizes, values, target.user)
    user = changes.update(target.user.id, values, [target.event], by=target.caller.id, at=target.at)
    return changed(user, shows_picture=True)
