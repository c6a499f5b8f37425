"""The part of Magistrala's SpiceDB schema that concerns the platform (contract §5.8).

definition user {}
definition platform {
    relation administrator: user
    relation member: user
    permission admin = administrator
    permission membership = administrator + member
}
"""

from __future__ import annotations

from local.auth.errors import NotInSchema
from local.auth.tokens import Role

# Subject type by relation, by object type.
_RELATIONS: dict[str, dict[str, str]] = {
    "platform": {"administrator": "user", "member": "user"},
    "user": {},
}
_PERMISSIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("platform", "admin"): ("administrator",),
    ("platform", "membership"): ("administrator", "member"),
    # In SpiceDB, the name of a relation is a permission too.
    ("platform", "administrator"): ("administrator",),
    ("platform", "member"): ("member",),
}
PLATFORM = ("platform", "magistrala")
ROLE_PERMISSIONS: dict[int, str] = {Role.ADMIN: "admin", Role.USER: "membership"}


def check_object_type(object_type: str) -> None:
    """Raise NotInSchema unless the schema defines the type."""
    if object_type not in _RELATIONS:
        raise NotInSchema(f"object definition `{object_type}` not found")


def check_relation(resource_type: str, relation: str) -> None:
    """Raise NotInSchema unless the schema defines the relation."""
    check_object_type(resource_type)
    if relation not in _RELATIONS[resource_type]:
        raise _not_found(relation, resource_type)


def subject_type_of(resource_type: str, relation: str) -> str:
    """Return the only type of subject that the relation takes."""
    return _RELATIONS[resource_type][relation]


def granting_relations(resource_type: str, permission: str) -> tuple[str, ...]:
    """Return the relations that grant the permission, any one of them alone. Raise NotInSchema for an unknown one."""
    check_object_type(resource_type)
    try:
        return _PERMISSIONS[resource_type, permission]
    except KeyError:
        raise _not_found(permission, resource_type) from None


def _not_found(name: str, resource_type: str) -> NotInSchema:
    return NotInSchema(f"relation/permission `{name}` not found under definition `{resource_type}`")
