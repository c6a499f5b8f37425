"""PATCH /users/{id}: names and metadata, and with them tags and picture (contract §1.6.12, decisions 7)."""

from typing import Any

from users.access import CHANGING_PROFILE
from users.edge.body import Body, Strings
from users.edge.http import Reply, Request, operation
from users.repository import changes
from users.rules.broken_rules import all_rules
from users.rules.fields import (
    check_characters,
    check_external_provider,
    check_length,
    check_profile_picture,
    check_sizes,
)
from users.steps.target import changed, find_target


class UserUpdate(Body):
    """The new values. An absent or ``null`` field and an empty name change nothing, nor do other known keys."""

    id: object = None
    first_name: str | None = None
    last_name: str | None = None
    metadata: dict[str, Any] | None = None
    private_metadata: dict[str, Any] | None = None
    tags: Strings | None = None
    profile_picture: str | None = None

    def values(self) -> dict[str, Any]:
        """Return the columns to set. A body with ``id`` comes from an SDK and is often stale: tags and picture stay."""
        names = {"first_name": self.first_name or None, "last_name": self.last_name or None}
        maps = {"metadata": self.metadata, "private_metadata": self.private_metadata}
        extra = {} if self.id is not None else {"tags": self.tags, "profile_picture": self.profile_picture}
        return {name: value for name, value in {**names, **maps, **extra}.items() if value is not None}


@operation("update_user", access=CHANGING_PROFILE)
def lambda_handler(request: Request) -> Reply:
    """Change the own account or, as administrator, any account. It must be enabled."""
    values = request.body(UserUpdate).values()
    with all_rules() as rules:
        rules.check(check_length, values.get("first_name", ""), "first name")
        rules.check(check_length, values.get("last_name", ""), "last name")
        rules.check(check_profile_picture, values.get("profile_picture", ""))
        target = find_target(request, "user.update")
        for name in ("first_name", "last_name"):
            if name in values and values[name] != getattr(target.user, name):  # an SDK sends back the stored names
                rules.check(check_characters, values[name], name.replace("_", " "))
        check_external_provider(target.user, values)
        rules.check(check_sizes, values, target.user)
    user = changes.update(target.user.id, values, [target.event], by=target.caller.id, at=target.at)
    return changed(user, shows_picture=True)
