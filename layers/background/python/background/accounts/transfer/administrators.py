"""The administrator of the installation that the file is of, and the one that bootstrap made here.

Both are enabled, and have the same e-mail address, or at least the same username (``admin``, unless somebody chose
another). So they are one person, or one office, under two ids. Other services know the id of the file. So with
``update`` the account of the file takes the place of the one here, which is removed. Where the line has no password, it
takes over the one that is here, so that whoever installs this can still log in.
"""

import uuid
from typing import Any

import psycopg
from psycopg.rows import DictRow

from users.repository.purges import removal_of
from users.rules import outbox_records
from users.rules.outbox_records import Record
from users.steps.sessions import revocations

_ADMINISTRATOR_OF_FILE = "s.given_id AND s.role = 1 AND COALESCE(s.status, 0) = 0"
_ADMINISTRATOR_HERE = "u.role = 1 AND u.status = 0 AND u.purging_at IS NULL"
_SAME_EMAIL = "lower(u.email) = lower(s.email)"
_SAME_USERNAME = "lower(u.username) = lower(s.username)"
# Conditions on ``staged s`` and ``users u``: one administrator by the e-mail address, or by the username alone.
SAME = f"{_ADMINISTRATOR_OF_FILE} AND {_ADMINISTRATOR_HERE} AND {_SAME_EMAIL}"
SAME_BY_USERNAME = f"{_ADMINISTRATOR_OF_FILE} AND {_ADMINISTRATOR_HERE} AND {_SAME_USERNAME}"

_FIND = f"""
    SELECT s.number, min(u.id) AS user_id, min(u.secret) AS secret
    FROM (SELECT * FROM staged s WHERE {_ADMINISTRATOR_OF_FILE}) s
    JOIN users u ON u.id = s.id OR {_SAME_EMAIL} OR {_SAME_USERNAME}
    GROUP BY s.number HAVING count(*) = 1 AND bool_and(u.id <> s.id AND {_ADMINISTRATOR_HERE}) ORDER BY s.number"""


def replaceable(connection: psycopg.Connection[DictRow]) -> list[DictRow]:
    """The staged lines that nothing stands in the way of but one administrator: ``number``, ``user_id``, ``secret``."""
    return connection.execute(_FIND).fetchall()


def replace_all(connection: psycopg.Connection[DictRow], insert: str) -> list[str]:
    """Replace accounts by their staged lines, inside the batch's transaction; the ids of those that are gone.

    Nothing is kept of an account that is gone, and an event tells of it. ``insert`` stores the staged line ``number``,
    and returns a row. Where it stores nothing, nothing is removed.
    """
    return [row["user_id"] for row in replaceable(connection) if _is_replaced(connection, insert, row)]


def records_of(user_id: str) -> list[Record]:
    """What is to be done about an account that is gone: its sessions end, and it has no relations any more."""
    return [*revocations(user_id), outbox_records.relation_repair(user_id)]


def _is_replaced(connection: psycopg.Connection[DictRow], insert: str, row: dict[str, Any]) -> bool:
    is_stored = False
    with connection.transaction() as attempt:
        is_stored = _is_removed(connection, row["user_id"]) and _is_stored(connection, insert, row)
        if not is_stored:
            raise psycopg.Rollback(attempt)
    return is_stored


def _is_removed(connection: psycopg.Connection[DictRow], user_id: str) -> bool:
    """Remove the account; False when an earlier line has taken its place."""
    chosen = "SELECT id FROM users WHERE id = %(user_id)s FOR UPDATE"
    purged = outbox_records.account_purged(str(uuid.uuid4()))
    (found,) = connection.execute(*removal_of(chosen, {"user_id": user_id}, purged)).fetchall()
    return bool(found["removed"])


def _is_stored(connection: psycopg.Connection[DictRow], insert: str, row: dict[str, Any]) -> bool:
    connection.execute("UPDATE staged SET secret = COALESCE(secret, %(secret)s) WHERE number = %(number)s", row)
    return connection.execute(insert, row).fetchone() is not None
