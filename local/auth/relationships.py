"""The relationships on record, and the permissions that follow from them (contract §5.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from local.auth.errors import RelationExists
from local.auth.schema import PLATFORM, ROLE_PERMISSIONS, check_object_type, granting_relations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.auth.database import Connection


class Relationship(NamedTuple):
    """``resource_type:resource_id#relation@subject_type:subject_id``."""

    resource_type: str
    resource_id: str
    relation: str
    subject_type: str
    subject_id: str


class RelationshipFilter(NamedTuple):
    """The values that a relationship must have. An empty field matches every value."""

    resource_type: str = ""
    resource_id: str = ""
    relation: str = ""
    subject_type: str = ""
    subject_id: str = ""


def create(connection: Connection, relationship: Relationship) -> None:
    """Add a new relationship. Raise RelationExists if it is on record."""
    try:
        connection.execute("INSERT INTO auth.relationships VALUES (%s, %s, %s, %s, %s)", relationship)
    except psycopg.errors.UniqueViolation as error:
        raise RelationExists from error


def touch(connection: Connection, relationship: Relationship) -> None:
    """Add a relationship unless it is on record."""
    connection.execute(
        "INSERT INTO auth.relationships VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING", relationship
    )


def delete(connection: Connection, matching: RelationshipFilter) -> int:
    """Delete the matching relationships and return their number. An empty filter matches all."""
    where, values = _condition(matching)
    return connection.execute(sql.SQL("DELETE FROM auth.relationships WHERE ") + where, values).rowcount


def read(connection: Connection, matching: RelationshipFilter, limit: int | None) -> list[Relationship]:
    """Return the matching relationships in the order of their text, at most `limit` of them."""
    where, values = _condition(matching)
    query = sql.SQL(
        "SELECT resource_type, resource_id, relation, subject_type, subject_id FROM auth.relationships WHERE "
    )
    order = sql.SQL(" ORDER BY 1, 2, 3, 4, 5 LIMIT %s")
    return [Relationship(*row) for row in connection.execute(query + where + order, [*values, limit])]


def permits(connection: Connection, resource: tuple[str, str], permission: str, subject: tuple[str, str]) -> bool:
    """Return whether the subject has the permission on the resource, each as (type, id). Raise NotInSchema."""
    relations = granting_relations(resource[0], permission)
    check_object_type(subject[0])
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM auth.relationships WHERE (resource_type, resource_id) = (%s, %s)"
        " AND relation = ANY(%s) AND (subject_type, subject_id) = (%s, %s))",
        [*resource, list(relations), *subject],
    ).fetchone()
    return row is not None and bool(row[0])


def has_role(connection: Connection, user_id: str, role: int) -> bool:
    """Return whether platform:magistrala grants the role. Like upstream, check no role but 1 and 2 (contract §5.5)."""
    if role not in ROLE_PERMISSIONS:
        return True
    return permits(connection, PLATFORM, ROLE_PERMISSIONS[role], ("user", user_id))


def _condition(matching: RelationshipFilter) -> tuple[sql.Composable, Sequence[Any]]:
    fields: list[LiteralString] = ["resource_type", "resource_id", "relation", "subject_type", "subject_id"]
    given = [(field, value) for field, value in zip(fields, matching, strict=True) if value]
    terms = [sql.SQL("{} = %s").format(sql.Identifier(field)) for field, _ in given]
    return sql.SQL(" AND ").join([sql.SQL("true"), *terms]), [value for _, value in given]
