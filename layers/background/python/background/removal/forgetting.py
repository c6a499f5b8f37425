"""Forgetting what is of no use any more about accounts that stay (S56)."""

from collections.abc import Callable

from users.repository.database import query

_BATCH = 1000
_KEPT = "now() - interval '30 days'"

# A known address counts for 30 days, and its last login is written down up to an hour late (repository.logins). A
# mail's link is known for 30 days after its end, so that
# a person who opens it late reads that it has expired. After that it is like a link that never was. Upstream's rows may
# lack a time.
_OLD = {
    "users_known_addresses": f"logged_in_at < {_KEPT} - interval '1 hour'",
    "users_one_time_tokens": f"expires_at < {_KEPT}",
    "users_verifications": f"COALESCE(expires_at, created_at, '-infinity') < {_KEPT}",
}


def forget_old(time_is_left: Callable[[], bool]) -> int:
    """Delete the rows in batches, until there are none or time is over; how many."""
    return sum(_delete_all(table, condition, time_is_left) for table, condition in _OLD.items())


def _delete_all(table: str, condition: str, time_is_left: Callable[[], bool]) -> int:
    """Delete the rows that meet the condition; how many. A locked row is in use, and left for the next run.

    Rows are named by their places (``ctid``), because upstream's table has no key. A row that is locked does not move.
    """
    statement = f"""
        WITH deleted AS (
            DELETE FROM {table} WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM {table} WHERE {condition} LIMIT {_BATCH} FOR UPDATE SKIP LOCKED)) RETURNING 1
        )
        SELECT count(*) AS rows FROM deleted"""
    total = 0
    while time_is_left() and (rows := int(query(statement, {}, read_only=False)[0]["rows"])):
        total += rows
    return total
