"""Requests for a verification mail, no more often than a mailbox should get one (decisions 11, S12)."""

from collections.abc import Sequence

from users.repository.database import query
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.repository.statements import Part, Statement
from users.repository.throttles import COUNT_HITS
from users.rules.outbox_records import Record

# The limits for mails of a `kind` to a `mailbox` (mailbox_digest): one in a minute, and five in an hour.
MAIL_LIMITS = Part(
    "wanted",
    """
        SELECT 'mail:' || %(kind)s || ':' || span || ':' || %(mailbox)s AS key, addressee.id AS user_id, most, seconds
        FROM addressee, (VALUES ('minute', 1, 60), ('hour', 5, 3600)) AS limits(span, most, seconds)""",
    needs={"addressee": ("id",)},
    gives=("key", "user_id", "most", "seconds"),
)

_RECORD_VERIFICATION = Statement(
    "record_verification",
    Part("addressee", "SELECT %(user_id)s::varchar AS id", gives=("id",)),
    MAIL_LIMITS,
    *COUNT_HITS,
    Part(
        "changed",
        """
            SELECT addressee.id FROM addressee, throttle WHERE throttle.allowed""",
        needs={"addressee": ("id",), "throttle": ("allowed",)},
        gives=("id",),
    ),
    INSERT_RECORDS,
    "SELECT id FROM changed",
)


def record_verification(user_id: str, mailbox: str, records: Sequence[Record]) -> bool:
    """Write the records of a verification mail. Return False, and write nothing, when one was just sent.

    ``mailbox`` is the digest of its address.
    """
    parameters = {"user_id": user_id, "mailbox": mailbox, "kind": "verification", "records": as_rows(records)}
    return bool(query(_RECORD_VERIFICATION, parameters, read_only=False))
