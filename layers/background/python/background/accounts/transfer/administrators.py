"""The administrator of the file's installation, and the administrator that bootstrap made here.

Both are enabled, and have the same e-mail address, or at least the same username (``admin``, unless somebody chose
another). So they are one person, or one office, under two ids. Other services know the id of the file. So with
``update`` the account of the file takes the place of the account here, which is removed. If the line has no password,
it keeps the password of the account here, so that the administrator of this installation can still log in.
"""

import uuid

import psycopg
from psycopg.rows import DictRow

from background.repository import transfer
from background.repository.transfer import Connection
from users.rules import outbox_records
from users.rules.outbox_records import Record
from users.steps.sessions import revocations


def replace_all(connection: Connection) -> list[str]:
    """Replace accounts by their staged lines, inside the batch's transaction. Return the ids of the removed accounts.

    Nothing is kept of a removed account, and an event reports its removal. If the line cannot be stored, nothing is
    removed.
    """
    return [row["user_id"] for row in transfer.find_replaceable(connection) if _is_replaced(connection, row)]


def records_of(user_id: str) -> list[Record]:
    """Return the records for a removed account: they end its sessions and remove its relations."""
    return [*revocations(user_id), outbox_records.relation_repair(user_id)]


def _is_replaced(connection: Connection, row: DictRow) -> bool:
    is_stored = False
    event = outbox_records.account_purged(str(uuid.uuid4()))
    with connection.transaction() as attempt:
        is_stored = transfer.remove_replaced(connection, row["user_id"], event) and transfer.store_replacing(
            connection, row["number"], row["secret"]
        )
        if not is_stored:
            raise psycopg.Rollback(attempt)
    return is_stored
