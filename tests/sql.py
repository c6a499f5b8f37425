"""SQL on the service's own connection, as the service sends it."""

from collections.abc import Mapping
from typing import Any

from users.repository import database
from users.repository.statements import Statement


def run(
    sql: str, parameters: Mapping[str, Any], *, read_only: bool, prepare: bool | None = None
) -> list[dict[str, Any]]:
    """Run a statement that is no statement of the service; its rows."""
    return database.query(Statement("test", sql), parameters, read_only=read_only, prepare=prepare)
