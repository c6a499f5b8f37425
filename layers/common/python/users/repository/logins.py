"""Finding who wants to log in, counting the attempt, and keeping what a login leaves behind (security.md S8–S13)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from users.access import Account
from users.database import query
from users.email_addresses import canonical_or_typed
from users.outbox import Record
from users.repository.accounts import STANDING_COLUMNS
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.repository.throttles import COUNT_HITS

WINDOW = 15 * 60  # seconds
PAIR_LIMIT = 5  # failed logins of one identity from one address
IDENTITY_LIMIT = 30  # of one identity, from all addresses that it did not lately log in from
ADDRESS_LIMIT = 90  # from one address, whoever's

_COLUMNS = f"""u.id, u.status, u.role, {STANDING_COLUMNS}, COALESCE(u.secret, '') AS secret, u.email,
    COALESCE(u.username, '') AS username,
    EXTRACT(EPOCH FROM now() - COALESCE(u.secret_changed_at, u.created_at, now()))::float8 AS secret_age"""

# Five index look-ups; a taken-over database may hold usernames that look like addresses, so both are asked. An address
# is looked for as it was typed, because such a database has spellings of its own, and then in its canonical spelling,
# which `identity` is.
_FOUND = f"""
    found AS MATERIALIZED (
        SELECT * FROM (
            SELECT 1 AS rank, {_COLUMNS} FROM users u WHERE u.email = %(typed)s
            UNION ALL SELECT 2, {_COLUMNS} FROM users u WHERE u.username = %(identity)s
            UNION ALL SELECT 3, {_COLUMNS} FROM users u
                WHERE lower(u.email) = lower(%(typed)s) AND NOT u.case_conflict
            UNION ALL SELECT 4, {_COLUMNS} FROM users u
                WHERE lower(u.username) = lower(%(identity)s) AND NOT u.case_conflict
            UNION ALL SELECT 5, {_COLUMNS} FROM users u
                WHERE lower(u.email) = lower(%(identity)s) AND NOT u.case_conflict
        ) candidates ORDER BY rank LIMIT 1
    )"""

# Whether the identity lately logged in from this address. Asked once, when the attempt is counted: by the time that it
# is given back, another login may have made the address known.
_KNOWN = """EXISTS (
            SELECT FROM users_known_addresses known WHERE known.user_id = (SELECT id FROM found)
                AND known.address = identity.address AND known.logged_in_at > now() - interval '30 days')"""


def _wanted(account: str, known: str) -> str:
    """The limits of one attempt, for COUNT_HITS. ``account``: a CTE with the account's id; ``known``: see ``_KNOWN``.

    An identity is the account where there is one, else the folded text, so that unknown identities are throttled alike
    (S11). Digests, not addresses, are stored.
    """
    return f"""
    identity AS (
        SELECT encode(sha256(convert_to(%(address)s, 'UTF8')), 'hex') AS address,
            COALESCE((SELECT id FROM {account}), encode(sha256(convert_to(lower(%(identity)s), 'UTF8')), 'hex')) AS name
    ), wanted AS (
        SELECT 'login:pair:' || name || ':' || address AS key, (SELECT id FROM {account}) AS user_id,
            %(pair_limit)s AS most, %(window)s AS seconds FROM identity
        UNION ALL
        SELECT 'login:identity:' || name, (SELECT id FROM {account}), %(identity_limit)s, %(window)s FROM identity
        WHERE NOT {known}
        UNION ALL
        SELECT 'login:address:' || address, NULL, %(address_limit)s, %(window)s FROM identity
    )"""


# A good password gives the attempt back, forgets the pair's failures, and makes the address known. The rows are locked
# in the order in which they are counted, so that logins at the same time do not wait for each other in a circle.
_SUCCEEDED = f"""
    {_wanted("changed", "%(from_known_address)s")}, locked AS MATERIALIZED (
        SELECT t.key FROM users_throttle t JOIN wanted USING (key) ORDER BY wanted.most, t.key FOR UPDATE OF t
    ), pair AS (
        DELETE FROM users_throttle t USING locked WHERE t.key = locked.key AND t.key LIKE 'login:pair:%%'
    ), given_back AS (
        UPDATE users_throttle t SET hits = t.hits - 1 FROM locked
        WHERE t.key = locked.key AND t.key NOT LIKE 'login:pair:%%' AND t.hits > 0
    ), known AS (
        INSERT INTO users_known_addresses (user_id, address, logged_in_at)
        SELECT changed.id, identity.address, now() FROM changed, identity
        ON CONFLICT (user_id, address) DO UPDATE SET logged_in_at = now()
    )"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """An account and its password hash (argon2id or bcrypt; empty for external accounts).

    ``secret_age`` is the password's age in seconds. From a known address the identity's own limit is not counted.
    """

    account: Account
    secret_hash: str
    secret_age: float
    email: str
    username: str
    from_known_address: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A login attempt: whether the limits allow it, else after how many seconds; and whose account it is about.

    ``recent``: a limit was reached a moment ago, perhaps by logins that are about to succeed and give it back.
    """

    login: Login | None
    allowed: bool
    retry_after: int
    recent: bool


def begin_login(identity: str, address: str) -> Attempt:
    """Find an account by e-mail address or username, exact spelling first (decisions.md 19), and count the attempt."""
    return _begin(_FOUND, canonical_or_typed(identity), address, typed=identity)


def begin_password_check(user_id: str, address: str) -> Attempt:
    """The same for a signed-in account that is asked for its password; wrong ones count alike (S20)."""
    own = f"found AS MATERIALIZED (SELECT {_COLUMNS} FROM users u WHERE u.id = %(identity)s)"
    return _begin(own, user_id, address, typed=user_id)


def _begin(found: str, identity: str, address: str, *, typed: str) -> Attempt:
    statement = f"""
        WITH {found}, {_wanted("found", _KNOWN)}, {COUNT_HITS}
        SELECT throttle.*, found.*, (SELECT {_KNOWN} FROM identity) AS from_known_address
        FROM throttle LEFT JOIN found ON true"""
    row = query(statement, {**_limits(identity, address), "typed": typed}, read_only=False)[0]
    login = _login(row) if row["id"] else None
    return Attempt(login=login, allowed=row["allowed"], retry_after=row["retry_after"], recent=row["recent"])


def record_login(login: Login, address: str, new_hash: str | None, records: Sequence[Record]) -> None:
    """Write the records of a login, give its attempt back and, when ``new_hash`` is given, replace the old hash.

    A password that was changed meanwhile is not overwritten (decisions.md 26).
    """
    statement = f"""
        WITH rehashed AS (
            UPDATE users SET secret = %(new_hash)s
            WHERE id = %(id)s AND secret = %(old_hash)s AND %(new_hash)s::text IS NOT NULL
        ), changed AS (SELECT %(id)s::varchar AS id), {_SUCCEEDED}
        {INSERT_RECORDS}"""
    parameters = {
        **_limits("", address),
        "id": login.account.id,
        "from_known_address": login.from_known_address,
        "old_hash": login.secret_hash,
        "new_hash": new_hash,
        "records": as_rows(records),
    }
    query(statement, parameters, read_only=False)


def _limits(identity: str, address: str) -> dict[str, Any]:
    return {
        "identity": identity,
        "address": address,
        "window": WINDOW,
        "pair_limit": PAIR_LIMIT,
        "identity_limit": IDENTITY_LIMIT,
        "address_limit": ADDRESS_LIMIT,
    }


def _login(row: dict[str, Any]) -> Login:
    return Login(
        account=Account.from_row(row),
        secret_hash=row["secret"],
        secret_age=row["secret_age"],
        email=row["email"],
        username=row["username"],
        from_known_address=row["from_known_address"],
    )
