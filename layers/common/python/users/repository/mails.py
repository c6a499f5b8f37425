"""Asking for a verification mail, not more often than a mailbox should get one (decisions 11; S12)."""

from collections.abc import Sequence

from users.repository.database import query
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.repository.throttles import COUNT_HITS
from users.rules.outbox_records import Record

# At most one mail of a kind to an address in a minute, and five in an hour. For a statement with the parameters
# `kind` and `mailbox` (mailbox_digest), and a CTE `addressee(id)`.
MAIL_LIMITS = """
    wanted AS (
        SELECT 'mail:' || %(kind)s || ':' || span || ':' || %(mailbox)s AS key, addressee.id AS user_id, most, seconds
        FROM addressee, (VALUES ('minute', 1, 60), ('hour', 5, 3600)) AS limits(span, most, seconds)
    )"""


def record_verification(user_id: str, mailbox: str, records: Sequence[Record]) -> bool:
    """Write the records of a verification mail; False, and nothing written, when one was just sent.

    ``mailbox`` is the digest of its address.
    """
    statement = f"""
        WITH addressee AS (SELECT %(user_id)s::varchar AS id), {MAIL_LIMITS}, {COUNT_HITS}, changed AS (
            SELECT addressee.id FROM addressee, throttle WHERE throttle.allowed
        ), recorded AS ({INSERT_RECORDS})
        SELECT id FROM changed"""
    parameters = {"user_id": user_id, "mailbox": mailbox, "kind": "verification", "records": as_rows(records)}
    return bool(query(statement, parameters, read_only=False))
