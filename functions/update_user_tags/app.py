"""PATCH /users/{id}/tags: replace the tags (contract §1.6.13)."""

from users.access import CHANGING_PROFILE
from users.edge.body import Body, Strings
from users.edge.http import Reply, Request, operation
from users.repository import changes
from users.rules.fields import check_sizes
from users.steps.target import changed, find_target


class TagsUpdate(Body):
    """The new tags. Without them the tags stay, and ``[]`` clears them."""

    tags: Strings | None = None


@operation("update_user_tags", access=CHANGING_PROFILE)
def lambda_handler(request: Request) -> Reply:
    """Change the own account or, as administrator, any account. It must be enabled."""
    tags = request.body(TagsUpdate).tags
    target = find_target(request, "user.update_tags")
    values = {} if tags is None else {"tags": tags}
    check_sizes(values, target.user)
    user = changes.update(target.user.id, values, [target.event], by=target.caller.id, at=target.at)
    return changed(user, shows_picture=True)
