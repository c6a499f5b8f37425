"""The export of all accounts as lines: a snapshot of one moment, in the order of their ids."""

from collections.abc import Iterator

import psycopg
from psycopg.rows import dict_row

from background.accounts.transfer.line import write_line
from background.repository import transfer
from users.repository.database import conninfo


def export_lines(*, with_hashes: bool) -> Iterator[tuple[int, str]]:
    """Yield the lines, each with the number of all lines. Memory stays flat.

    psycopg.Error when the database goes away.
    """
    with psycopg.connect(conninfo(), row_factory=dict_row) as connection:
        for total, row in transfer.export(connection):
            yield total, write_line(row, with_hash=with_hashes)
