"""Reading all accounts in one snapshot, in the order of their ids, with a server-side cursor: memory stays flat."""

from collections.abc import Iterator

import psycopg
from psycopg.rows import dict_row

from background.accounts.transfer.line import TIMES, write_line
from users.repository.database import conninfo

_BATCH = 2000
# Infinite times, which PostgreSQL knows and Python does not, mean nothing here.
_TIME_COLUMNS = ", ".join(
    f"CASE WHEN isfinite({name}) AND {name} > '0002-01-01' THEN {name} AT TIME ZONE 'UTC' END AS {name}"
    for name in TIMES
)
_SELECT = f"""
    SELECT id, first_name, last_name, tags, metadata::text, private_metadata::text, status, role, profile_picture,
        username, email, updated_by, auth_provider, secret, case_conflict, {_TIME_COLUMNS}
    FROM users ORDER BY id"""


def export_lines(*, with_hashes: bool) -> Iterator[tuple[int, str]]:
    """The lines as they were at one moment, each with how many there will be in all.

    Raises psycopg.Error when the database goes away.
    """
    # The role's limits are for requests: this takes the time it takes, also when the reader is slow.
    with psycopg.connect(conninfo(), row_factory=dict_row) as connection:
        connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        connection.commit()
        (counted,) = connection.execute("SELECT count(*) AS total FROM users").fetchall()
        with connection.cursor(name="users_export") as cursor:
            cursor.itersize = _BATCH
            for row in cursor.execute(_SELECT):
                yield counted["total"], write_line(row, with_hash=with_hashes)
