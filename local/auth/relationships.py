"""Relationships and what they grant: the platform's part of Magistrala's SpiceDB schema (contract §5.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from local.auth.errors import NotInSchema, RelationExists
from local.auth.tokens import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.auth.database import Connection

# definition platform { relation administrator: user; relation member: user;
#                       admin = administrator; membership = administrator + member }
# definition user {}
_RELATIONS: dict[str, dict[str, str]] = {
    "platform": {"administrator": "user", "member": "user"},
    "user": {},
}
_PERMISSIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("platform", "admin"): ("administrator",),
    ("platform", "membership"): ("administrator", "member"),
    ("platform", "administrator"): ("administrator",),  # SpiceDB takes a relation's name as a permission too
    ("platform", "member"): ("member",),
}
_ROLE_PERMISSIONS = {Role.ADMIN: "admin", Role.USER: "membership"}


class Relationship(NamedTuple):
    """``resource_type:resource_id#relation@subject_type:subject_id``."""

    resource_type: str
    resource_id: str
    relation: str
    subject_type: str
    subject_id: str


class RelationshipFilter(NamedTuple):
    """What must be equal; an empty field matches everything."""

    resource_type: str = ""
    resource_id: str = ""
    relation: str = ""
    subject_type: str = ""
    subject_id: str = ""


def check_object_type(object_type: str) -> None:
    """Raise NotInSchema unless the schema defines the type."""
    if object_type not in _RELATIONS:
        raise NotInSchema(f"object definition `{object_type}` not found")


def check_relation(resource_type: str, relation: str) -> None:
    """Raise NotInSchema unless the schema defines the relation."""
    check_object_type(resource_type)
    if relation not in _RELATIONS[resource_type]:
        raise NotInSchema(f"relation/permission `{relation}` not found under definition `{resource_type}`")


def subject_type_of(resource_type: str, relation: str) -> str:
    """The only type of subject that the relation takes."""
    return _RELATIONS[resource_type][relation]


def create(connection: Connection, relationship: Relationship) -> None:
    """Add a relationship that must be new. Raises RelationExists."""
    try:
        connection.execute("INSERT INTO auth.relationships VALUES (%s, %s, %s, %s, %s)", relationship)
    except psycopg.errors.UniqueViolation as error:
        raise RelationExists from error


def touch(connection: Connection, relationship: Relationship) -> None:
    """Add a relationship unless it is there."""
    connection.execute(
        "INSERT INTO auth.relationships VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING", relationship
    )


def delete(connection: Connection, matching: RelationshipFilter) -> int:
    """Remove what matches; gives the number. An empty filter matches everything."""
    where, values = _condition(matching)
    return connection.execute(sql.SQL("DELETE FROM auth.relationships WHERE ") + where, values).rowcount


def read(connection: Connection, matching: RelationshipFilter, limit: int | None) -> list[Relationship]:
    """Relationships that match, in the order of their text; `limit` None = all."""
    where, values = _condition(matching)
    query = sql.SQL(
        "SELECT resource_type, resource_id, relation, subject_type, subject_id FROM auth.relationships WHERE "
    )
    order = sql.SQL(" ORDER BY 1, 2, 3, 4, 5 LIMIT %s")
    return [Relationship(*row) for row in connection.execute(query + where + order, [*values, limit])]


def permits(connection: Connection, resource: tuple[str, str], permission: str, subject: tuple[str, str]) -> bool:
    """Whether the (type, id) subject has the permission on the (type, id) resource. Raises NotInSchema."""
    check_object_type(resource[0])
    check_object_type(subject[0])
    relations = _PERMISSIONS.get((resource[0], permission))
    if relations is None:
        raise NotInSchema(f"relation/permission `{permission}` not found under definition `{resource[0]}`")
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM auth.relationships WHERE (resource_type, resource_id) = (%s, %s)"
        " AND relation = ANY(%s) AND (subject_type, subject_id) = (%s, %s))",
        [*resource, list(relations), *subject],
    ).fetchone()
    return row is not None and bool(row[0])


def has_role(connection: Connection, user_id: str, role: int) -> bool:
    """Whether platform:magistrala grants the role; one other than 1 and 2 is not checked (contract §5.5)."""
    if role not in _ROLE_PERMISSIONS:
        return True
    return permits(connection, ("platform", "magistrala"), _ROLE_PERMISSIONS[Role(role)], ("user", user_id))


def _condition(matching: RelationshipFilter) -> tuple[sql.Composable, Sequence[Any]]:
    fields: list[LiteralString] = ["resource_type", "resource_id", "relation", "subject_type", "subject_id"]
    given = [(field, value) for field, value in zip(fields, matching, strict=True) if value]
    terms = [sql.SQL("{} = %s").format(sql.Identifier(field)) for field, _ in given]
    return sql.SQL(" AND ").join([sql.SQL("true"), *terms]), [value for _, value in given]
