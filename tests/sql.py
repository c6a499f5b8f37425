"""Run SQL on the service's connection, in the way in which the service sends it."""

from collections.abc import Mapping
from typing import Any

from users.repository import database
from users.repository.statements import Statement


def run(
    sql: str, parameters: Mapping[str, Any], *, read_only: bool, prepare: bool | None = None
) -> list[dict[str, Any]]:
    """Run a statement that the service does not have. Return its rows."""
    return database.query(Statement("test", sql), parameters, read_only=read_only, prepare=prepare)
