"""The limits of failed logins: counting wrong passwords, and the turn of right ones (S8, S11, S13).

Only wrong passwords are counted, after they were checked and before they are answered. The statement that counts
decides: of attempts at once, no more than the limit are answered, whatever they read when they began. A right password
uses up nothing, but waits for its turn among the wrong ones of its account. Otherwise a right guess among a hundred
simultaneous ones would be taken before the others are counted. A right password changes no counter of a network, so
people behind one address do not wait for each other.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from users.repository.database import query
from users.repository.statements import Part, Statement
from users.repository.throttles import LOGIN_LIMITS, count_hits, limits_reached
from users.rules.attempts import Attempt, Limits
from users.rules.networks import WIDE_FACTOR, networks_of

WINDOW = 15 * 60  # seconds
PAIR_LIMIT = 5  # failed logins of one identity from one near network
WIDE_PAIR_LIMIT = WIDE_FACTOR * PAIR_LIMIT  # from one wide network; fewer than lock the identity out everywhere
IDENTITY_LIMIT = 30  # of one identity, from all networks that it did not lately log in from
ADDRESS_LIMIT = 90  # from one near network, for all identities
WIDE_ADDRESS_LIMIT = WIDE_FACTOR * ADDRESS_LIMIT  # from one wide network

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


def limits_of_attempt(account: str, known: str, *, by_name: bool, is_wide: bool) -> tuple[Part, Part]:
    """Return the parts with the limits that an attempt may count in, from the arguments of ``_wanted``.

    ``is_wide``: the address of the attempt has a wide network.
    """
    return _wanted(account, known, _kinds(by_name=by_name, is_wide=is_wide), by_name=by_name)


def limits_to_forget(account: str, *, by_name: bool) -> tuple[Part, Part]:
    """Return the parts with the limits that a right password forgets."""
    kinds = [kind for kind in _FORGOTTEN if by_name or kind not in _TYPED]
    return _wanted(account, "true", kinds, by_name=by_name)


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


# The account of an attempt that has begun. It is read once, when the attempt begins: when the attempt is counted,
# another login may have made the network known.
_BEGUN = Part("begun", "SELECT %(user_id)s::varchar AS id", gives=("id",))
_WAS_KNOWN = "%(from_known_address)s::boolean"


@cache
def _check_limits(*, by_name: bool, is_wide: bool) -> Statement:
    return Statement(
        "check_login_limits",
        _BEGUN,
        *limits_of_attempt("begun", _WAS_KNOWN, by_name=by_name, is_wide=is_wide),
        *limits_reached("wanted.silent", columns=("silent",)),
        "SELECT allowed, silenced, retry_after FROM throttle",
    )


@cache
def _count(*, by_name: bool, is_wide: bool) -> Statement:
    """Return the statement that counts. It is the same for right and wrong passwords."""
    counting = count_hits(
        len(_kinds(by_name=by_name, is_wide=is_wide)),
        order="position",
        silent="wanted.silent",
        hits="%(hits)s::int",
        counted="(NOT wanted.shared OR %(hits)s::int > 0)",
        columns=("position", "silent", "shared"),
    )
    return Statement(
        "count_login",
        _BEGUN,
        *limits_of_attempt("begun", _WAS_KNOWN, by_name=by_name, is_wide=is_wide),
        *counting,
        "SELECT allowed, silenced, retry_after FROM throttle",
    )


def check_limits(attempt: Attempt, address: str) -> Limits:
    """Read the limits again for the time to wait: they were reached while the password was checked."""
    parameters = _begun_parameters(attempt, address)
    statement = _check_limits(by_name=attempt.by_name, is_wide="wide" in parameters)
    return limits_in(query(statement, parameters, read_only=True)[0])


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
    return limits_in(query(statement, parameters, read_only=False)[0])


def network_parameters(address: str) -> dict[str, Any]:
    """Return the digests of the networks as parameters: ``wide`` is there only if the address has a wide network."""
    networks = networks_of(address)
    return {"near": networks.near, "wide": networks.wide} if networks.wide else {"near": networks.near}


def _begun_parameters(attempt: Attempt, address: str) -> dict[str, Any]:
    login = attempt.login
    return {
        "identity": attempt.identity,
        **network_parameters(address),
        "user_id": login.account.id if login else None,
        "from_known_address": login is not None and login.from_known_address,
    }


def limits_in(row: dict[str, Any]) -> Limits:
    """Return the limits of a row that has the columns of ``throttle``."""
    return Limits(allowed=row["allowed"], silenced=row["silenced"], retry_after=row["retry_after"])
