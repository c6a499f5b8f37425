"""Logins: finding the account that somebody names, and the limits of failed ones (S8, S11, S13).

Only wrong passwords are counted, after they were checked and before they are answered. The statement that counts
decides: of attempts at once, no more than the limit are answered, whatever they read when they began. A right password
uses up nothing, but waits for its turn among the wrong ones of its account. Otherwise a right guess among a hundred
simultaneous ones would be taken before the others are counted. A right password changes no counter of a network, so
people behind one address do not wait for each other.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from users.access import Account
from users.repository.accounts import STANDING_COLUMNS
from users.repository.database import query
from users.repository.known_addresses import IS_KNOWN, REMEMBER_ADDRESS
from users.repository.login_failures import FORGET_UNRESTRICTED_FAILURES, is_restricted
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.repository.statements import Part, Statement
from users.repository.throttles import FORGET_WANTED, LOGIN_LIMITS, count_hits, limits_reached
from users.rules.attempts import Attempt, Limits, Login
from users.rules.email_addresses import canonical_or_typed
from users.rules.networks import WIDE_FACTOR, networks_of
from users.rules.outbox_records import Record
from users.rules.passwords import is_outdated
from users.settings import settings

WINDOW = 15 * 60  # seconds
PAIR_LIMIT = 5  # failed logins of one identity from one near network
WIDE_PAIR_LIMIT = WIDE_FACTOR * PAIR_LIMIT  # from one wide network; fewer than lock the identity out everywhere
IDENTITY_LIMIT = 30  # of one identity, from all networks that it did not lately log in from
ADDRESS_LIMIT = 90  # from one near network, for all identities
WIDE_ADDRESS_LIMIT = WIDE_FACTOR * ADDRESS_LIMIT  # from one wide network

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

# The account of an attempt that has begun. It is read once, when the attempt begins: when the attempt is counted,
# another login may have made the network known.
_BEGUN = Part("begun", "SELECT %(user_id)s::varchar AS id", gives=("id",))
_WAS_KNOWN = "%(from_known_address)s::boolean"

# Failures since the last window began are counted twice: for the name that was typed, and for the account that has it.
# Only the limits of the typed name, and of the network, are answered by 429. So the answer does not reveal whether
# there is an account, nor that two names belong to one account (S48). The account's own limits hold for its names
# together. They are silent: the password is answered as a wrong one, so another name brings no further guesses.
_TYPED = ("typed_pair", "typed_wide_pair", "typed")
_ACCOUNTS = ("pair", "wide_pair", "identity")
# Limits of wide networks, which only IPv6 addresses have.
_WIDE = ("typed_wide_pair", "wide_address", "wide_pair")
# Limits of a network, for all accounts. A right password does not wait for its turn in them: others would wait for it.
_SHARED = ("address", "wide_address")
# A right password forgets the failures of these.
_FORGOTTEN = ("typed_pair", "pair")


def _kinds(*, by_name: bool, is_wide: bool) -> list[str]:
    """Return the limits that an attempt may count in. A further limit would make the statements more expensive."""
    left_out = {*(() if by_name else _TYPED), *(() if is_wide else _WIDE)}
    return [kind for kind in LOGIN_LIMITS if kind not in left_out]


class _Limit(NamedTuple):
    """The key of a limit, as SQL on ``identity``, the account that owns it, and the condition that it counts at all."""

    key: str
    most: int
    owner: str = "user_id"
    condition: str = "true"


_LIMITS = {
    "typed_pair": _Limit("typed || ':' || %(near)s", PAIR_LIMIT),
    "typed_wide_pair": _Limit("typed || ':' || %(wide)s", WIDE_PAIR_LIMIT),
    "typed": _Limit("typed", IDENTITY_LIMIT, condition="NOT known"),
    "address": _Limit("%(near)s", ADDRESS_LIMIT, owner="NULL"),
    "wide_address": _Limit("%(wide)s", WIDE_ADDRESS_LIMIT, owner="NULL"),
    "pair": _Limit("name || ':' || %(near)s", PAIR_LIMIT),
    "wide_pair": _Limit("name || ':' || %(wide)s", WIDE_PAIR_LIMIT),
    "identity": _Limit("name", IDENTITY_LIMIT, condition="NOT known"),
}


def _limit(kind: str, *, by_name: bool) -> str:
    """Return a row of VALUES with the columns position, key, owner, most, silent, shared, counts."""
    limit = _LIMITS[kind]
    silent = "true" if by_name and kind in _ACCOUNTS else "false"
    shared = "true" if kind in _SHARED else "false"
    return (
        f"({LOGIN_LIMITS.index(kind)}, 'login:{kind}:' || {limit.key}, {limit.owner}, {limit.most}, {silent}, {shared},"
        f" {limit.condition})"
    )


def _wanted(account: str, known: str, kinds: Sequence[str], *, by_name: bool) -> tuple[Part, Part]:
    """Return the parts with the limits of one attempt, which count_hits and limits_reached need.

    ``account`` is the CTE with the id of the account. ``known`` is an SQL expression: the network is known.
    ``by_name``: somebody typed a name, and must not learn which account has it. An unknown name is counted as often as
    a known one, with its digest in place of the id of the account.

    ``wanted`` is MATERIALIZED. PostgreSQL joins a row again when another login has changed it at this moment. If
    ``wanted`` were merged into the statement, PostgreSQL might not find the row again and would forget nothing.
    """
    limits = ",\n            ".join(_limit(kind, by_name=by_name) for kind in kinds)
    identity = Part(
        "identity",
        f"""
        SELECT who.id AS user_id, COALESCE(who.id, named.digest) AS name, named.digest AS typed, {known} AS known
        FROM (SELECT encode(sha256(convert_to(lower(%(identity)s), 'UTF8')), 'hex') AS digest) named
            LEFT JOIN {account} who ON true""",
        needs={account: ("id",)},
        gives=("user_id", "name", "typed", "known"),
        materialized=True,
    )
    wanted = Part(
        "wanted",
        f"""
        SELECT limits.position, limits.key, limits.owner AS user_id, limits.most, {WINDOW} AS seconds,
            limits.silent, limits.shared
        FROM identity, LATERAL (VALUES
            {limits}
        ) AS limits(position, key, owner, most, silent, shared, counts) WHERE limits.counts""",
        needs={"identity": ("user_id", "name", "typed", "known")},
        gives=("position", "key", "user_id", "most", "seconds", "silent", "shared"),
        materialized=True,
    )
    return identity, wanted


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
    kinds = _kinds(by_name=by_name, is_wide=is_wide)
    return Statement(
        "begin_login" if by_name else "begin_password_check",
        _FOUND if by_name else _FOUND_BY_ID,
        *_wanted("found", IS_KNOWN, kinds, by_name=by_name),
        *limits_reached("wanted.silent", columns=("silent",)),
        f"""
        SELECT throttle.*, found.*, identity.known AS from_known_address,
            identity.known OR NOT {is_restricted("found.id")} AS takes_password
        FROM throttle CROSS JOIN identity LEFT JOIN found ON true""",
    )


@cache
def _check_limits(*, by_name: bool, is_wide: bool) -> Statement:
    return Statement(
        "check_login_limits",
        _BEGUN,
        *_wanted("begun", _WAS_KNOWN, _kinds(by_name=by_name, is_wide=is_wide), by_name=by_name),
        *limits_reached("wanted.silent", columns=("silent",)),
        "SELECT allowed, silenced, retry_after FROM throttle",
    )


@cache
def _count(*, by_name: bool, is_wide: bool) -> Statement:
    """Return the statement that counts. It is the same for right and wrong passwords."""
    kinds = _kinds(by_name=by_name, is_wide=is_wide)
    counting = count_hits(
        len(kinds),
        order="position",
        silent="wanted.silent",
        hits="%(hits)s::int",
        counted="(NOT wanted.shared OR %(hits)s::int > 0)",
        columns=("position", "silent", "shared"),
    )
    return Statement(
        "count_login",
        _BEGUN,
        *_wanted("begun", _WAS_KNOWN, kinds, by_name=by_name),
        *counting,
        "SELECT allowed, silenced, retry_after FROM throttle",
    )


@cache
def _succeed(name: str, *, by_name: bool, before: tuple[Part, ...] = (), after: tuple[Part, ...] = ()) -> Statement:
    """Return the statement of a right password, with what it does ``before`` and ``after`` the following.

    It forgets the failures of the account from its own network, and makes the network known.
    """
    kinds = [kind for kind in _FORGOTTEN if by_name or kind not in _TYPED]
    return Statement(
        name,
        _UNCHANGED,
        *before,
        *_wanted("changed", "true", kinds, by_name=by_name),
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
    parameters = {"identity": identity, **_networks(address), "max_failures": settings().max_failed_logins}
    if by_name:
        parameters["typed"] = typed
    row = query(_begin(by_name=by_name, is_wide="wide" in parameters), parameters, read_only=True)[0]
    login = _login(row, identity if by_name else "") if row["id"] else None
    return Attempt(identity=identity, by_name=by_name, login=login, limits=_limits(row))


def check_limits(attempt: Attempt, address: str) -> Limits:
    """Read the limits again for the time to wait: they were reached while the password was checked."""
    parameters = _begun_parameters(attempt, address)
    statement = _check_limits(by_name=attempt.by_name, is_wide="wide" in parameters)
    return _limits(query(statement, parameters, read_only=True)[0])


def take_turn(attempt: Attempt, address: str) -> Limits:
    """Return the limits for a right password, after the wrong ones that are counted at this moment.

    The statement waits for those of the same name and account, and changes no count.
    """
    return _count_hits(attempt, address, hits=0)


def count_failure(attempt: Attempt, address: str) -> Limits:
    """Count an attempt that is refused. If the limits do not allow it any more, nothing is counted.

    A silent limit that is reached is not counted. The limits before it are.
    """
    return _count_hits(attempt, address, hits=1)


def _count_hits(attempt: Attempt, address: str, *, hits: int) -> Limits:
    parameters = {**_begun_parameters(attempt, address), "hits": hits}
    statement = _count(by_name=attempt.by_name, is_wide="wide" in parameters)
    return _limits(query(statement, parameters, read_only=False)[0])


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


def _networks(address: str) -> dict[str, Any]:
    """Return the digests of the networks as parameters: ``wide`` is there only if the address has a wide network."""
    networks = networks_of(address)
    return {"near": networks.near, "wide": networks.wide} if networks.wide else {"near": networks.near}


def _begun_parameters(attempt: Attempt, address: str) -> dict[str, Any]:
    login = attempt.login
    return {
        "identity": attempt.identity,
        **_networks(address),
        "user_id": login.account.id if login else None,
        "from_known_address": login is not None and login.from_known_address,
    }


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


def _limits(row: dict[str, Any]) -> Limits:
    return Limits(allowed=row["allowed"], silenced=row["silenced"], retry_after=row["retry_after"])


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
