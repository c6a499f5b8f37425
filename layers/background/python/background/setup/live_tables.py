"""Changes of tables in use: indexes that do not block writers, and rows in batches.

The connection must be in autocommit: ``schema.exclusive``'s is, a migration's is in Alembic's ``autocommit_block``.
Each function can run again after it was killed.
"""

from collections.abc import Sequence

import psycopg
from psycopg import errors as pg
from psycopg.rows import scalar_row

from background.setup.preflight import DatabaseUnfit
from users.telemetry.log import logger

LOCK_TIMEOUT = "1s"  # of the session, see schema.py
BATCH = 5000  # rows that one statement locks
# Tags are the only values without a limit that an index contains whole. A tag of 2000 bytes fits into any page.
_LONG_TAGS = """
    SELECT id FROM users WHERE EXISTS (SELECT FROM unnest(tags) tag WHERE octet_length(tag) > 2000)
    ORDER BY id LIMIT 10"""


def build_index(
    connection: psycopg.Connection, name: str, definition: str, *, unique: bool = False, table: str = "users"
) -> None:
    """Build an index of ``table`` unless it is valid. Replace an invalid index, which a killed run left.

    The build waits for other transactions without blocking them, and so has no time limit. DatabaseUnfit when a value
    does not fit into the index.
    """
    statement = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    valid = connection.cursor(row_factory=scalar_row).execute(statement, (name,)).fetchone()
    if valid:
        return
    logger.info("building index", index=name)
    connection.execute("SET lock_timeout = 0")
    try:
        if valid is False:
            connection.execute(f"DROP INDEX CONCURRENTLY {name}")
        kind = "UNIQUE INDEX" if unique else "INDEX"
        connection.execute(f"CREATE {kind} CONCURRENTLY {name} ON {table} {definition}")
    except pg.ProgramLimitExceeded as error:
        ids = ", ".join(connection.cursor(row_factory=scalar_row).execute(_LONG_TAGS))
        raise DatabaseUnfit(
            f"no index can hold the tags of the accounts {ids}: shorten those that are longer than 2000 bytes, and run"
            " bootstrap again"
        ) from error
    finally:
        if not connection.closed:
            connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")


def update_in_batches(connection: psycopg.Connection, assignments: str, condition: str) -> int:
    """Update all rows of ``users u`` that meet the condition, in the order of their ids. Return their number."""
    statement = f"""
        WITH batch AS (
            SELECT u.id FROM users u WHERE u.id > %(after)s AND ({condition}) ORDER BY u.id LIMIT {BATCH}
        ), changed AS (
            UPDATE users u SET {assignments} FROM batch WHERE u.id = batch.id AND ({condition})
        )
        SELECT max(id) AS last, count(*) AS rows FROM batch"""
    after, total = "", 0
    while after is not None:
        ((after, rows),) = connection.execute(statement, {"after": after})
        total += rows
    return total


def update_by_id(connection: psycopg.Connection, assignments: str, condition: str, ids: Sequence[str]) -> int:
    """Update the rows with these ids that still meet the condition. Return their number."""
    total = 0
    for start in range(0, len(ids), BATCH):
        statement = f"UPDATE users u SET {assignments} WHERE u.id = ANY(%(ids)s) AND ({condition})"
        total += connection.execute(statement, {"ids": list(ids[start : start + BATCH])}).rowcount
    return total


def delete_in_batches(connection: psycopg.Connection, table: str, condition: str) -> int:
    """Delete all rows that meet the condition, and return their number.

    The condition's parameter ``begun`` is the server's time at the start. It excludes later rows, so the work ends.
    """
    begun = connection.cursor(row_factory=scalar_row).execute("SELECT now()").fetchone()
    statement = f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE {condition} LIMIT {BATCH})) AND {condition}"""
    total = 0
    while rows := connection.execute(statement, {"begun": begun}).rowcount:
        total += rows
    return total
