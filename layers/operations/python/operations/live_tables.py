"""Changing a table that has rows, readers and writers: indexes built beside them, rows changed a batch at a time.

The connection must be in autocommit (Alembic's ``autocommit_block``, ``schema.statement_by_statement``). Everything
here can be repeated after it was killed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from users.log import logger

LOCK_TIMEOUT = "1s"  # the session's, see schema.py
BATCH = 5000  # rows whose locks one statement holds


def build_index(connection: Connection, name: str, definition: str, *, unique: bool = False) -> None:
    """Make an index of ``users``, unless it is there and valid; an invalid one, left by a kill, is made anew.

    Building waits for the transactions of others without being in anybody's way, and so without a limit.
    """
    valid = connection.exec_driver_sql(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name,)
    ).scalar()
    if valid:
        return
    logger.info("building index", index=name)
    connection.exec_driver_sql("SET lock_timeout = 0")
    try:
        if valid is False:
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {name}")
        kind = "UNIQUE INDEX" if unique else "INDEX"
        connection.exec_driver_sql(f"CREATE {kind} CONCURRENTLY {name} ON users {definition}")
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")


def update_in_batches(
    connection: Connection, assignments: str, condition: str, parameters: Mapping[str, Any] | None = None
) -> int:
    """Update all rows of ``users u`` that meet the condition, in the order of their ids; how many there were."""
    statement = f"""
        WITH batch AS (
            SELECT u.id FROM users u WHERE u.id > %(after)s AND ({condition}) ORDER BY u.id LIMIT {BATCH}
        ), changed AS (
            UPDATE users u SET {assignments} FROM batch WHERE u.id = batch.id AND ({condition})
        )
        SELECT max(id) AS last, count(*) AS rows FROM batch"""
    after, total = "", 0
    while after is not None:
        row = connection.exec_driver_sql(statement, {**(parameters or {}), "after": after}).one()
        after, total = row.last, total + row.rows
    return total


def update_by_id(connection: Connection, assignments: str, condition: str, ids: Sequence[str]) -> int:
    """Update those of the named rows that still meet the condition; how many there were."""
    total = 0
    for start in range(0, len(ids), BATCH):
        statement = f"UPDATE users u SET {assignments} WHERE u.id = ANY(%(ids)s) AND ({condition})"
        total += connection.exec_driver_sql(statement, {"ids": list(ids[start : start + BATCH])}).rowcount
    return total
