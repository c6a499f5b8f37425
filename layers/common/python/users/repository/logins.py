"""Finding who wants to log in, counting wrong passwords, and keeping what a login leaves behind (S8–S13).

Only wrong passwords are counted, after they were checked and before they are answered. The statement that counts
decides: of attempts at once, no more than the limit are answered, whatever they all saw when they began. A right
password uses up nothing, but takes its turn among the wrong ones of its account. Else a guess among a hundred at once
would be taken before the others are counted. It changes no counter of a network, so people behind one address do not
wait for each other.
"""

from collections.abc import Sequence
from typing import Any

from users.access import Account
from users.repository.accounts import STANDING_COLUMNS
from users.repository.database import query
from users.repository.login_failures import is_restricted
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.repository.throttles import LOGIN_LIMITS, count_hits, limits_reached
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
ADDRESS_LIMIT = 90  # from one near network, whoever's
WIDE_ADDRESS_LIMIT = WIDE_FACTOR * ADDRESS_LIMIT  # from one wide network

_COLUMNS = f"""u.id, u.status, u.role, {STANDING_COLUMNS}, COALESCE(u.secret, '') AS secret, u.email,
    COALESCE(u.username, '') AS username, u.secret_changed_at,
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

# A network counts as known for 30 days after the last login from it. When that was is written down once an hour at
# most, so that most logins write one row less: the hour is added.
_KNOWN_FOR = "interval '30 days 1 hour'"
_REFRESHED = "interval '1 hour'"

# Whether the identity lately logged in from this network. Asked once, when the attempt begins: by the time that it is
# counted, another login may have made the network known.
_KNOWN = f"""EXISTS (
            SELECT FROM users_known_addresses known WHERE known.user_id = who.id
                AND known.address = %(near)s AND known.logged_in_at > now() - {_KNOWN_FOR})"""

# Failures since the last window began are counted twice: for the name that was typed, and for the account that has it.
# Only the limits of what was typed, and of the network, are answered by 429: nobody learns from it whether there is an
# account, nor that two names are one account's (S48). The account's own limits hold for its names together. They are
# silent: the password is answered as a wrong one, so that another name brings no further guesses.
_TYPED = ("typed_pair", "typed_wide_pair", "typed")
_ACCOUNTS = ("pair", "wide_pair", "identity")
# Limits of wide networks, which only IPv6 addresses have.
_WIDE = ("typed_wide_pair", "wide_address", "wide_pair")
# Limits of a network, whoever's account it is. A right password does not take its turn in them: others would wait.
_SHARED = ("address", "wide_address")
# A right password forgets the failures of these.
_FORGOTTEN = ("typed_pair", "pair")


def _kinds(*, by_name: bool, is_wide: bool) -> list[str]:
    """The limits that an attempt may count in. None that it surely does not: each makes the statements dearer."""
    left_out = {*(() if by_name else _TYPED), *(() if is_wide else _WIDE)}
    return [kind for kind in LOGIN_LIMITS if kind not in left_out]


def _limit(kind: str, *, by_name: bool) -> str:
    """Return a row of ``wanted``: place, key, user_id, most, is it silent, is it shared, is it wanted at all."""
    key, owner, most, condition = {
        "typed_pair": ("typed || ':' || %(near)s", "user_id", PAIR_LIMIT, "true"),
        "typed_wide_pair": ("typed || ':' || %(wide)s", "user_id", WIDE_PAIR_LIMIT, "true"),
        "typed": ("typed", "user_id", IDENTITY_LIMIT, "NOT known"),
        "address": ("%(near)s", "NULL", ADDRESS_LIMIT, "true"),
        "wide_address": ("%(wide)s", "NULL", WIDE_ADDRESS_LIMIT, "true"),
        "pair": ("name || ':' || %(near)s", "user_id", PAIR_LIMIT, "true"),
        "wide_pair": ("name || ':' || %(wide)s", "user_id", WIDE_PAIR_LIMIT, "true"),
        "identity": ("name", "user_id", IDENTITY_LIMIT, "NOT known"),
    }[kind]
    silent = "true" if by_name and kind in _ACCOUNTS else "false"
    shared = "true" if kind in _SHARED else "false"
    return f"({LOGIN_LIMITS.index(kind)}, 'login:{kind}:' || {key}, {owner}, {most}, {silent}, {shared}, {condition})"


def _wanted(account: str, known: str, kinds: Sequence[str], *, by_name: bool) -> str:
    """Return the limits of one attempt, as count_hits and limits_reached ask for them.

    ``account``: a CTE with the account's id; ``known``: see ``_KNOWN``; ``by_name``: somebody typed a name, and is not
    to learn whose it is. An unknown name is counted as often as a known one, with its digest for the account's id.

    ``wanted`` is MATERIALIZED. PostgreSQL joins a row once more when another login changed it at this moment. In a
    ``wanted`` that was merged into the statement, it may not find the row again: nothing would be forgotten.
    """
    limits = ",\n            ".join(_limit(kind, by_name=by_name) for kind in kinds)
    return f"""
    identity AS MATERIALIZED (
        SELECT who.id AS user_id, COALESCE(who.id, named.digest) AS name, named.digest AS typed, {known} AS known
        FROM (SELECT encode(sha256(convert_to(lower(%(identity)s), 'UTF8')), 'hex') AS digest) named
            LEFT JOIN {account} who ON true
    ), wanted AS MATERIALIZED (
        SELECT limits.position, limits.key, limits.owner AS user_id, limits.most, {WINDOW} AS seconds,
            limits.silent, limits.shared
        FROM identity, LATERAL (VALUES
            {limits}
        ) AS limits(position, key, owner, most, silent, shared, counts) WHERE limits.counts
    )"""


# The account, locked, while it is as it was when the login began (S45). A change that is not committed yet is waited
# for. Another login may have replaced an outdated hash of the same password meanwhile: that is no change. Upstream,
# which may still run on the tables, would have written a bcrypt hash.
_UNCHANGED = f"""
    changed AS MATERIALIZED (
        SELECT u.id FROM users u
        WHERE u.id = %(id)s AND u.status = %(status)s
            AND COALESCE(EXTRACT(EPOCH FROM u.tokens_valid_from)::bigint, 0) = %(tokens_valid_from)s
            AND (COALESCE(u.secret, '') = %(old_hash)s OR (
                %(outdated)s AND u.secret LIKE '$argon2id$%%'
                AND u.secret_changed_at IS NOT DISTINCT FROM %(secret_changed_at)s))
            AND (%(from_known_address)s OR NOT {is_restricted("u.id")})
        FOR NO KEY UPDATE
    )"""


def _succeeded(*, by_name: bool) -> str:
    """Return what a good password does: it forgets failures from its own network, and makes the network known."""
    kinds = [kind for kind in _FORGOTTEN if by_name or kind not in _TYPED]
    return f"""
    {_wanted("changed", "true", kinds, by_name=by_name)}, locked AS MATERIALIZED (
        SELECT t.key FROM users_throttle t JOIN wanted USING (key)
        WHERE EXISTS (SELECT FROM changed) ORDER BY wanted.position FOR UPDATE OF t
    ), forgotten AS (
        DELETE FROM users_throttle t USING locked WHERE t.key = locked.key
    ), failures AS (
        DELETE FROM users_login_failures WHERE user_id = (SELECT id FROM changed) AND restricted_at IS NULL
    ), known AS (
        INSERT INTO users_known_addresses (user_id, address, logged_in_at)
        SELECT id, %(near)s, now() FROM changed
        WHERE NOT EXISTS (
            SELECT FROM users_known_addresses k
            WHERE k.user_id = changed.id AND k.address = %(near)s AND k.logged_in_at > now() - {_REFRESHED})
        ON CONFLICT (user_id, address) DO UPDATE SET logged_in_at = now()
    )"""


def begin_login(identity: str, address: str) -> Attempt:
    """Find an account by e-mail address or username, exact spelling first (decisions 19), and ask the limits."""
    return _begin(_FOUND, canonical_or_typed(identity), address, typed=identity, by_name=True)


def begin_password_check(user_id: str, address: str) -> Attempt:
    """The same for a signed-in account that is asked for its password; wrong ones count alike (S20).

    It knows its own names, so the account's limits are no secret to it.
    """
    own = f"found AS MATERIALIZED (SELECT {_COLUMNS} FROM users u WHERE u.id = %(identity)s)"
    return _begin(own, user_id, address, typed=user_id, by_name=False)


def _begin(found: str, identity: str, address: str, *, typed: str, by_name: bool) -> Attempt:
    parameters = {**_parameters(identity, address), "typed": typed}
    kinds = _kinds(by_name=by_name, is_wide=bool(parameters["wide"]))
    statement = f"""
        WITH {found}, {_wanted("found", _KNOWN, kinds, by_name=by_name)}, {limits_reached("wanted.silent")}
        SELECT throttle.*, found.*, identity.known AS from_known_address,
            identity.known OR NOT {is_restricted("found.id")} AS takes_password
        FROM throttle CROSS JOIN identity LEFT JOIN found ON true"""
    row = query(statement, parameters, read_only=True)[0]
    login = _login(row, identity if by_name else "") if row["id"] else None
    return Attempt(identity=identity, by_name=by_name, login=login, limits=_limits(row))


def check_limits(attempt: Attempt, address: str) -> Limits:
    """Ask the limits once more, to say how long to wait: they were reached while the password was checked."""
    wanted, parameters, _ = _limits_of(attempt, address)
    statement = f"""
        WITH {wanted}, {limits_reached("wanted.silent")}
        SELECT allowed, silenced, retry_after FROM throttle"""
    return _limits(query(statement, parameters, read_only=True)[0])


def take_turn(attempt: Attempt, address: str) -> Limits:
    """Say what the limits say to a right password, after the wrong ones that are counted at this moment.

    It waits for those of the same name and account, and changes no count.
    """
    return _count(attempt, address, hits=0)


def count_failure(attempt: Attempt, address: str) -> Limits:
    """Count an attempt that is refused. Where the limits do not allow it any more, nothing is counted.

    A silent limit that is reached is not counted; the others before it are.
    """
    return _count(attempt, address, hits=1)


def _count(attempt: Attempt, address: str, *, hits: int) -> Limits:
    """Count in one statement, the same for right and wrong passwords."""
    wanted, parameters, kinds = _limits_of(attempt, address)
    counting = count_hits(
        len(kinds),
        order="position",
        silent="wanted.silent",
        hits="%(hits)s::int",
        counted="(NOT wanted.shared OR %(hits)s::int > 0)",
    )
    statement = f"""
        WITH {wanted}, {counting}
        SELECT allowed, silenced, retry_after FROM throttle"""
    return _limits(query(statement, {**parameters, "hits": hits}, read_only=False)[0])


def _limits_of(attempt: Attempt, address: str) -> tuple[str, dict[str, Any], list[str]]:
    """The CTE ``wanted`` of an attempt that has begun, its parameters, and the limits in it."""
    login, parameters = attempt.login, _parameters(attempt.identity, address)
    parameters["user_id"] = login.account.id if login else None
    parameters["from_known_address"] = login is not None and login.from_known_address
    kinds = _kinds(by_name=attempt.by_name, is_wide=bool(parameters["wide"]))
    account, known = "(SELECT %(user_id)s::varchar AS id)", "%(from_known_address)s::boolean"
    return _wanted(account, known, kinds, by_name=attempt.by_name), parameters, kinds


def _limits(row: dict[str, Any]) -> Limits:
    return Limits(allowed=row["allowed"], silenced=row["silenced"], retry_after=row["retry_after"])


def record_login(login: Login, address: str, new_hash: str | None, records: Sequence[Record]) -> bool:
    """Write the records of a login, forget failures and, when ``new_hash`` is given, replace the old hash.

    False, and nothing done, when the account changed since the login began: its password, its status or what ends its
    tokens (decisions 36).
    """
    statement = f"""
        WITH {_UNCHANGED}, rehashed AS (
            UPDATE users u SET secret = %(new_hash)s FROM changed
            WHERE u.id = changed.id AND u.secret = %(old_hash)s AND %(new_hash)s::text IS NOT NULL
        ), {_succeeded(by_name=bool(login.typed))}, recorded AS ({INSERT_RECORDS})
        SELECT id FROM changed"""
    parameters = {
        **_parameters(login.typed, address),
        "id": login.account.id,
        "status": login.account.status,
        "tokens_valid_from": login.account.tokens_valid_from,
        "from_known_address": login.from_known_address,
        "old_hash": login.secret_hash,
        "outdated": is_outdated(login.secret_hash),
        "secret_changed_at": login.secret_changed_at,
        "new_hash": new_hash,
        "records": as_rows(records),
    }
    return bool(query(statement, parameters, read_only=False))


def _parameters(identity: str, address: str) -> dict[str, Any]:
    networks = networks_of(address)
    return {
        "identity": identity,
        "near": networks.near,
        "wide": networks.wide,
        "max_failures": settings().max_failed_logins,
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
