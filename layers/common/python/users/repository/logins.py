"""Logins: finding the account that somebody names, and the records of a right password (S8, S11, S45)."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from users.access import Account
from users.repository.accounts import STANDING_COLUMNS
from users.repository.database import query
from users.repository.known_addresses import IS_KNOWN, REMEMBER_ADDRESS
from users.repository.login_failures import FORGET_UNRESTRICTED_FAILURES, is_restricted
from users.repository.login_limits import limits_in, limits_of_attempt, limits_to_forget, network_parameters
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.repository.statements import Part, Statement
from users.repository.throttles import FORGET_WANTED, limits_reached
from users.rules.attempts import Attempt, Login
from users.rules.email_addresses import canonical_or_typed
from users.rules.networks import networks_of
from users.rules.outbox_records import Record
from users.rules.passwords import is_outdated
from users.settings import settings

_COLUMNS = f"""u.id, u.status, u.role, {STANDING_COLUMNS}, COALESCE(u.secret, '') AS secret, u.email,
    COALESCE(u.username, '') AS username, u.secret_changed_at,
    EXTRACT(EPOCH FROM now() - COALESCE(u.secret_changed_at, u.created_at, now()))::float8 AS secret_age"""

# Five index look-ups. A taken-over database may hold usernames that look like addresses, so both columns are searched.
# An address is searched for as it was typed, because such a database has spellings of its own, and then in its
# canonical spelling, which is `identity`.
_FOUND = Part(
    "found",
    f"""
        SELECT * FROM (
            SELECT 1 AS rank, {_COLUMNS} FROM users u WHERE u.email = %(typed)s
            UNION ALL SELECT 2, {_COLUMNS} FROM users u WHERE u.username = %(identity)s
            UNION ALL SELECT 3, {_COLUMNS} FROM users u
                WHERE lower(u.email) = lower(%(typed)s) AND NOT u.case_conflict
            UNION ALL SELECT 4, {_COLUMNS} FROM users u
                WHERE lower(u.username) = lower(%(identity)s) AND NOT u.case_conflict
            UNION ALL SELECT 5, {_COLUMNS} FROM users u
                WHERE lower(u.email) = lower(%(identity)s) AND NOT u.case_conflict
        ) candidates ORDER BY rank LIMIT 1""",
    gives=("id",),
    materialized=True,
)
# The account of a caller who is signed in.
_FOUND_BY_ID = Part(
    "found",
    f"SELECT {_COLUMNS} FROM users u WHERE u.id = %(identity)s",
    gives=("id",),
    materialized=True,
)

# The account, locked, if it has not changed since the login began (S45). The statement waits for a change that is not
# committed yet. Another login may have replaced an outdated hash of the same password: that is no change. Upstream,
# which may still run on the tables, would have written a bcrypt hash.
_UNCHANGED = Part(
    "changed",
    f"""
        SELECT u.id FROM users u
        WHERE u.id = %(id)s AND u.status = %(status)s
            AND COALESCE(EXTRACT(EPOCH FROM u.tokens_valid_from)::bigint, 0) = %(tokens_valid_from)s
            AND (COALESCE(u.secret, '') = %(old_hash)s OR (
                %(outdated)s AND u.secret LIKE '$argon2id$%%'
                AND u.secret_changed_at IS NOT DISTINCT FROM %(secret_changed_at)s))
            AND (%(from_known_address)s OR NOT {is_restricted("u.id")})
        FOR NO KEY UPDATE""",
    gives=("id",),
    materialized=True,
)

_REHASHED = Part(
    "rehashed",
    """
            UPDATE users u SET secret = %(new_hash)s FROM changed
            WHERE u.id = changed.id AND u.secret = %(old_hash)s AND %(new_hash)s::text IS NOT NULL""",
    needs={"changed": ("id",)},
)


@cache
def _begin(*, by_name: bool, is_wide: bool) -> Statement:
    return Statement(
        "begin_login" if by_name else "begin_password_check",
        _FOUND if by_name else _FOUND_BY_ID,
        *limits_of_attempt("found", IS_KNOWN, by_name=by_name, is_wide=is_wide),
        *limits_reached("wanted.silent", columns=("silent",)),
        f"""
        SELECT throttle.*, found.*, identity.known AS from_known_address,
            identity.known OR NOT {is_restricted("found.id")} AS takes_password
        FROM throttle CROSS JOIN identity LEFT JOIN found ON true""",
    )


@cache
def _succeed(name: str, *, by_name: bool, before: tuple[Part, ...] = (), after: tuple[Part, ...] = ()) -> Statement:
    """Return the statement of a right password, with what it does ``before`` and ``after`` the following.

    It forgets the failures of the account from its own network, and makes the network known.
    """
    return Statement(
        name,
        _UNCHANGED,
        *before,
        *limits_to_forget("changed", by_name=by_name),
        *FORGET_WANTED,
        FORGET_UNRESTRICTED_FAILURES,
        REMEMBER_ADDRESS,
        *after,
        "SELECT id FROM changed",
    )


def begin_login(identity: str, address: str) -> Attempt:
    """Find an account by e-mail address or username, exact spelling first (decisions 19), and read the limits."""
    return _begin_attempt(canonical_or_typed(identity), address, typed=identity)


def begin_password_check(user_id: str, address: str) -> Attempt:
    """Begin an attempt of a signed-in caller that has to enter its password. Wrong passwords count alike (S20).

    The caller's own limits need not be hidden from it.
    """
    return _begin_attempt(user_id, address)


def _begin_attempt(identity: str, address: str, *, typed: str | None = None) -> Attempt:
    """Begin an attempt by the name ``typed`` or, without a name, by the id ``identity``."""
    by_name = typed is not None
    parameters = {"identity": identity, **network_parameters(address), "max_failures": settings().max_failed_logins}
    if by_name:
        parameters["typed"] = typed
    row = query(_begin(by_name=by_name, is_wide="wide" in parameters), parameters, read_only=True)[0]
    login = _login(row, identity if by_name else "") if row["id"] else None
    return Attempt(identity=identity, by_name=by_name, login=login, limits=limits_in(row))


def record_login(login: Login, address: str, new_hash: str | None, records: Sequence[Record]) -> bool:
    """Write the records of a login, forget failures and, if ``new_hash`` is given, replace the old hash.

    Return False, and do nothing, if the account changed since the login began: its password, its status, or the moment
    before which its tokens are void (decisions 36).
    """
    by_name = bool(login.typed)
    statement = _succeed("record_login", by_name=by_name, before=(_REHASHED,), after=(INSERT_RECORDS,))
    parameters = _login_parameters(login, address) | {"new_hash": new_hash, "records": as_rows(records)}
    return bool(query(statement, parameters, read_only=False))


def record_expired_password(login: Login, address: str, wish: Record) -> bool:
    """Write the wish for a reset mail of a login whose password has expired, and forget failures.

    Return False, and do nothing, if the account changed since the login began.
    """
    statement = _succeed("record_expired_password", by_name=bool(login.typed), after=(INSERT_RECORDS,))
    parameters = _login_parameters(login, address) | {"records": as_rows([wish])}
    return bool(query(statement, parameters, read_only=False))


def confirm_password(login: Login, address: str) -> bool:
    """Forget failures before a right password that begins no session.

    Return False, and do nothing, if the account changed since the attempt began.
    """
    statement = _succeed("confirm_password", by_name=bool(login.typed))
    return bool(query(statement, _login_parameters(login, address), read_only=False))


def _login_parameters(login: Login, address: str) -> dict[str, Any]:
    return {
        "identity": login.typed,
        "near": networks_of(address).near,
        "max_failures": settings().max_failed_logins,
        "id": login.account.id,
        "status": login.account.status,
        "tokens_valid_from": login.account.tokens_valid_from,
        "from_known_address": login.from_known_address,
        "old_hash": login.secret_hash,
        "outdated": is_outdated(login.secret_hash),
        "secret_changed_at": login.secret_changed_at,
    }


def _login(row: dict[str, Any], typed: str) -> Login:
    return Login(
        account=Account.from_row(row),
        typed=typed,
        secret_hash=row["secret"],
        secret_changed_at=row["secret_changed_at"],
        secret_age=row["secret_age"],
        email=row["email"],
        username=row["username"],
        from_known_address=row["from_known_address"],
        takes_password=row["takes_password"],
    )
