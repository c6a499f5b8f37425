"""Failed logins of an account in a row, and the restriction after too many of them (S47).

A restricted account accepts its password only from known addresses. From elsewhere the right password gets the answer
of a wrong one, so guesses of a stranger are in vain. A new password or an administrator ends the restriction.
"""

from datetime import UTC, datetime

from users.repository.database import query
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.repository.statements import Part, Statement
from users.rules import outbox_records
from users.settings import settings

FORGET_FAILURES = Part(
    "forgotten_failures",
    "DELETE FROM users_login_failures WHERE user_id = (SELECT id FROM changed)",
    needs={"changed": ("id",)},
)

# A right password ends the row of failures, but no restriction.
FORGET_UNRESTRICTED_FAILURES = Part(
    "failures",
    "DELETE FROM users_login_failures WHERE user_id = (SELECT id FROM changed) AND restricted_at IS NULL",
    needs={"changed": ("id",)},
)

_RECORD_FAILURE = Statement(
    "record_failure",
    Part(
        "account",
        "SELECT id FROM users WHERE id = %(user_id)s AND status = 0 FOR KEY SHARE",
        gives=("id",),
        materialized=True,
    ),
    Part(
        "failed",
        """
            INSERT INTO users_login_failures AS f (user_id, failures, restricted_at)
            SELECT id, 1, CASE WHEN %(most)s <= 1 THEN now() END FROM account
            ON CONFLICT (user_id) DO UPDATE SET failures = f.failures + 1,
                restricted_at = CASE WHEN f.failures + 1 >= %(most)s THEN now() END
            WHERE f.restricted_at IS NULL
            RETURNING user_id, restricted_at""",
        needs={"account": ("id",)},
        gives=("user_id", "restricted_at"),
    ),
    Part(
        "changed",
        "SELECT user_id AS id FROM failed WHERE restricted_at IS NOT NULL",
        needs={"failed": ("user_id", "restricted_at")},
        gives=("id",),
    ),
    INSERT_RECORDS,
)

_END_RESTRICTION = Statement(
    "end_restriction",
    """
        WITH forgotten AS (DELETE FROM users_login_failures WHERE user_id = %(user_id)s RETURNING restricted_at)
        SELECT 1 FROM forgotten WHERE restricted_at IS NOT NULL""",
)


def is_restricted(user_id: str) -> str:
    """Return the condition that the account of an SQL expression is restricted. Its parameter is ``max_failures``."""
    return f"""(%(max_failures)s > 0 AND EXISTS (
        SELECT FROM users_login_failures f WHERE f.user_id = {user_id} AND f.restricted_at IS NOT NULL))"""


def record_failure(user_id: str | None, email: str, address: str) -> None:
    """Count a wrong password. One too many restricts the account and mails its ``email``.

    ``user_id`` is None if no account's password was checked. The statement is the same then and counts nothing, so the
    time of an answer reveals nothing (S2). The account gets exactly one mail each time that it is restricted.
    """
    most = settings().max_failed_logins
    if most <= 0:
        return
    mail = outbox_records.notice_mail("logins_restricted", email, at=datetime.now(UTC), address=address)
    query(_RECORD_FAILURE, {"user_id": user_id, "most": most, "records": as_rows([mail])}, read_only=False)


def end_restriction(user_id: str) -> bool:
    """Let the account take its password from everywhere again. Return False if it was not restricted."""
    return bool(query(_END_RESTRICTION, {"user_id": user_id}, read_only=False))
