"""Changing a table that has rows, readers and writers: indexes built beside them, rows changed a batch at a time.

The connection must be in autocommit (``schema.exclusive``'s is; a migration's, in Alembic's ``autocommit_block``).
Everything here can be repeated after it was killed.
"""

from collections.abc import Sequence

import psycopg
from psycopg import errors as pg
from psycopg.rows import scalar_row

from background.setup.preflight import DatabaseUnfit
from users.telemetry.log import logger

LOCK_TIMEOUT = "1s"  # the session's, see schema.py
BATCH = 5000  # rows whose locks one statement holds
# Tags are the only values without a limit that an index holds as they are. One of so many bytes fits into any page.
_LONG_TAGS = """
    SELECT id FROM users WHERE EXISTS (SELECT FROM unnest(tags) tag WHERE octet_length(tag) > 2000)
    ORDER BY id LIMIT 10"""


def build_index(
    connection: psycopg.Connection, name: str, definition: str, *, unique: bool = False, table: str = "users"
) -> None:
    """Make an index of ``table``, unless it is there and valid; an invalid one, left by a kill, is made anew.

    Building waits for the transactions of others without being in anybody's way, and so without a limit. DatabaseUnfit
    when it cannot hold a value.
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
        ((after, rows),) = connection.execute(statement, {"after": after})
        total += rows
    return total


def update_by_id(connection: psycopg.Connection, assignments: str, condition: str, ids: Sequence[str]) -> int:
    """Update those of the named rows that still meet the condition; how many there were."""
    total = 0
    for start in range(0, len(ids), BATCH):
        statement = f"UPDATE users u SET {assignments} WHERE u.id = ANY(%(ids)s) AND ({condition})"
        total += connection.execute(statement, {"ids": list(ids[start : start + BATCH])}).rowcount
    return total


def delete_in_batches(connection: psycopg.Connection, table: str, condition: str) -> int:
    """Delete all rows that meet the condition; how many. Its parameter ``begun`` is now, by the server's clock.

    It leaves out what is written meanwhile, so that there is an end.
    """
    begun = connection.cursor(row_factory=scalar_row).execute("SELECT now()").fetchone()
    statement = f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE {condition} LIMIT {BATCH})) AND {condition}"""
    total = 0
    while rows := connection.execute(statement, {"begun": begun}).rowcount:
        total += rows
    return total
