"""Writing outbox records, beside a change or alone. Reading and deleting them is the relay's subject."""

from collections.abc import Sequence
from dataclasses import asdict

from psycopg.types.json import Jsonb

from users.database import query
from users.outbox import Record

# For a statement that has a CTE `changed` with the account's id: its records are written with it, from the parameter
# `records` (as_rows). The order of the array is the order of delivery.
INSERT_RECORDS = """
    INSERT INTO users_outbox (id, user_id, channel, name, payload)
    SELECT r.id, changed.id, r.channel, r.name, r.payload
    FROM changed, jsonb_to_recordset(%(records)s) AS r(id uuid, channel text, name text, payload jsonb)"""


def as_rows(records: Sequence[Record]) -> Jsonb:
    """The parameter that ``INSERT_RECORDS`` unpacks."""
    return Jsonb([asdict(record) for record in records])


def record(user_id: str | None, records: Sequence[Record]) -> None:
    """Write records that belong to no change of a row; ``user_id`` None where no account is known."""
    statement = f"WITH changed AS (SELECT %(user_id)s::varchar AS id) {INSERT_RECORDS}"
    query(statement, {"user_id": user_id, "records": as_rows(records)}, read_only=False)
