"""Removing every trace of an account from the database."""

from collections.abc import Sequence

from users.database import query
from users.outbox import Record
from users.repository.outbox import INSERT_RECORDS, as_rows


def remove(user_id: str, records: Sequence[Record]) -> bool:
    """Delete an account that is marked deleted, with its verifications, tokens, throttles, and undelivered payloads.

    Verifications, mail tokens and known addresses go by cascade. What is left to deliver is ``records`` and what
    holds no personal data.
    """
    statement = f"""
        WITH changed AS (
            DELETE FROM users WHERE id = %(id)s AND status = 2 RETURNING id
        ), undelivered AS (
            DELETE FROM users_outbox o USING changed
            WHERE o.user_id = changed.id AND o.channel <> 'revocation' AND o.name <> 'user.delete'
        ), throttles AS (
            DELETE FROM users_throttle t USING changed WHERE t.user_id = changed.id
        ), recorded AS ({INSERT_RECORDS})
        SELECT id FROM changed"""
    return bool(query(statement, {"id": user_id, "records": as_rows(records)}, read_only=False))
