"""Finding who wants to log in, and keeping what a login leaves behind."""

from dataclasses import dataclass

from users.access import Account
from users.database import query
from users.outbox import Record
from users.repository.accounts import STANDING_COLUMNS
from users.repository.outbox import INSERT_RECORDS, as_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """An account and its password hash (argon2id or bcrypt; empty for external accounts).

    ``secret_age`` is the password's age in seconds.
    """

    account: Account
    secret_hash: str
    secret_age: float
    email: str


def find_login(identity: str) -> Login | None:
    """The account of an e-mail address or username: the exact spelling first, then the folded one (decisions.md 19)."""
    columns = f"""u.id, u.status, u.role, {STANDING_COLUMNS}, COALESCE(u.secret, '') AS secret, u.email,
        EXTRACT(EPOCH FROM now() - COALESCE(u.secret_changed_at, u.created_at, now()))::float8 AS secret_age"""
    # Four index look-ups; a taken-over database may hold usernames that look like addresses, so both are asked.
    statement = f"""
        SELECT * FROM (
            SELECT 1 AS rank, {columns} FROM users u WHERE u.email = %(identity)s
            UNION ALL SELECT 2, {columns} FROM users u WHERE u.username = %(identity)s
            UNION ALL SELECT 3, {columns} FROM users u
                WHERE lower(u.email) = lower(%(identity)s) AND NOT u.case_conflict
            UNION ALL SELECT 4, {columns} FROM users u
                WHERE lower(u.username) = lower(%(identity)s) AND NOT u.case_conflict
        ) found ORDER BY rank LIMIT 1"""
    rows = query(statement, {"identity": identity}, read_only=True)
    if not rows:
        return None
    row = rows[0]
    return Login(
        account=Account.from_row(row),
        secret_hash=row["secret"],
        secret_age=row["secret_age"],
        email=row["email"],
    )


def record_login(login: Login, new_hash: str | None, records: list[Record]) -> None:
    """Write the records of a login and, when ``new_hash`` is given, put it in the place of the old one.

    A password that was changed meanwhile is not overwritten (decisions.md 26).
    """
    statement = f"""
        WITH rehashed AS (
            UPDATE users SET secret = %(new_hash)s
            WHERE id = %(id)s AND secret = %(old_hash)s AND %(new_hash)s::text IS NOT NULL
        ), changed AS (SELECT %(id)s::varchar AS id)
        {INSERT_RECORDS}"""
    parameters = {
        "id": login.account.id,
        "old_hash": login.secret_hash,
        "new_hash": new_hash,
        "records": as_rows(records),
    }
    query(statement, parameters, read_only=False)
