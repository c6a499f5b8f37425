"""Failed logins of an account in a row, and what too many of them bring about (S47).

From then on the account is restricted: it takes its password only from addresses that it knows. From elsewhere the
right password gets the answer of a wrong one, so a stranger's guesses are in vain. A new password or an administrator
ends the restriction.
"""

from datetime import UTC, datetime

from users.repository.database import query
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.rules import outbox_records
from users.settings import settings

# For a statement that has a CTE `changed` with the account's id.
FORGET_FAILURES = "DELETE FROM users_login_failures WHERE user_id = (SELECT id FROM changed)"


def is_restricted(user_id: str) -> str:
    """Return the condition that an account is restricted, for a statement with the parameter ``max_failures``."""
    return f"""(%(max_failures)s > 0 AND EXISTS (
        SELECT FROM users_login_failures f WHERE f.user_id = {user_id} AND f.restricted_at IS NOT NULL))"""


def record_failure(user_id: str | None, email: str, address: str) -> None:
    """Count a wrong password; the one that makes it too many restricts the account and tells its ``email``.

    ``user_id`` is None where no account's password was checked: the statement is the same and counts nothing, so that
    the time of an answer does not tell (S2). The mail is exactly one for each time that the account is restricted.
    """
    most = settings().max_failed_logins
    if most <= 0:
        return
    statement = f"""
        WITH account AS MATERIALIZED (
            SELECT id FROM users WHERE id = %(user_id)s AND status = 0 FOR KEY SHARE
        ), failed AS (
            INSERT INTO users_login_failures AS f (user_id, failures, restricted_at)
            SELECT id, 1, CASE WHEN %(most)s <= 1 THEN now() END FROM account
            ON CONFLICT (user_id) DO UPDATE SET failures = f.failures + 1,
                restricted_at = CASE WHEN f.failures + 1 >= %(most)s THEN now() END
            WHERE f.restricted_at IS NULL
            RETURNING user_id, restricted_at
        ), changed AS (SELECT user_id AS id FROM failed WHERE restricted_at IS NOT NULL)
        {INSERT_RECORDS}"""
    mail = outbox_records.notice_mail("logins_restricted", email, at=datetime.now(UTC), address=address)
    query(statement, {"user_id": user_id, "most": most, "records": as_rows([mail])}, read_only=False)


def end_restriction(user_id: str) -> bool:
    """Let the account take its password from everywhere again. False when it was not restricted."""
    statement = """
        WITH forgotten AS (DELETE FROM users_login_failures WHERE user_id = %(user_id)s RETURNING restricted_at)
        SELECT 1 FROM forgotten WHERE restricted_at IS NOT NULL"""
    return bool(query(statement, {"user_id": user_id}, read_only=False))
