"""Access tokens that Auth signed with Ed25519, checked in the function against Auth's JWKS (contract §5.5, §5.6).

The key set is kept for five minutes. The real Auth's key id is the name of its key file, so a new key may come under
an old id. A token that no held key has signed therefore asks for a fresh set, unless the token is older than the set.

Whoever sends garbage can write any ``iat``, so a budget bounds these fetches: two at once, then one in 20 seconds,
which is five a minute in each execution environment. What remains: when garbage or an earlier rotation has spent the
budget, a key that Auth began to use less than 20 seconds ago may be unknown here, and its tokens are refused until
then. A flood fetches the new key just as well as a genuine token does, so it cannot keep a rotation away for longer.
"""

import base64
import binascii
import json
import math
import time
from collections.abc import Mapping
from typing import Any

from nacl import bindings
from nacl.exceptions import BadSignatureError

from users.access import TokenType
from users.errors import Unauthenticated, Unavailable
from users.settings import settings
from users.snapstart import not_in_snapshots

ISSUER = "magistrala.auth"
_CACHE_SECONDS = 300.0
_CLOCK_DIFFERENCE = 60.0  # seconds that Auth's clock may be ahead of ours, or behind
_FETCHES_AT_ONCE = 2
_SECONDS_BETWEEN_FETCHES = 20.0
_RETRY_SECONDS = 1.0  # after a failed fetch, while there are no keys at all
_FETCH_TIMEOUT = 2.0
_MAX_TOKEN_LENGTH = 8192
_TOKEN_TYPES = range(len(TokenType))
_ROLES = range(1, 3)


class _KeySet:
    """The public keys by key id, and the budget of fetches."""

    def __init__(self) -> None:
        self._keys: Mapping[str, bytes] = {}
        self._fetched_at = -math.inf  # by the monotonic clock
        self._asked_at = -math.inf  # the same moment by the wall clock, which ``iat`` is compared with
        self._failed_at = -math.inf  # of the last fetch, where that one failed
        self._budget_spent_until = -math.inf

    def has_signed(self, kid: str, issued_at: int | None, signed: bytes) -> bool:
        """Whether the key of that id has signed ``signed``, a signature and what it is about.

        ``issued_at`` is what the token says about itself, in Unix seconds. Unavailable when Auth does not give the keys
        that could tell.
        """
        fetched = self._keep_current()
        if self._verifies(kid, signed):
            return True
        if fetched or issued_at is None or issued_at < self._asked_at - _CLOCK_DIFFERENCE:
            return False
        if self._spend():
            self._fetch()
        elif self._failed_at > self._fetched_at:
            raise Unavailable("auth", "no keys")  # a newer key cannot be ruled out
        return self._verifies(kid, signed)

    def _verifies(self, kid: str, signed: bytes) -> bool:
        key = self._keys.get(kid)
        if key is None:
            return False
        try:
            bindings.crypto_sign_open(signed, key)
        except BadSignatureError:
            return False
        return True

    def _keep_current(self) -> bool:
        """Whether a fresh set was fetched, because there was none or it was old. Known keys outlive Auth being away."""
        now = time.monotonic()
        if self._fetched_at == -math.inf:
            if now - self._failed_at <= _RETRY_SECONDS:
                raise Unavailable("auth", "no keys")
            self._fetch()
            self._spend()
            return True
        if now - self._fetched_at <= _CACHE_SECONDS or not self._spend():
            return False
        try:
            self._fetch()
        except Unavailable:
            return False
        return True

    def _spend(self) -> bool:
        """Take one fetch from the budget, if there is one left."""
        now = time.monotonic()
        if self._budget_spent_until - now > _SECONDS_BETWEEN_FETCHES * (_FETCHES_AT_ONCE - 1):
            return False
        self._budget_spent_until = max(self._budget_spent_until, now) + _SECONDS_BETWEEN_FETCHES
        return True

    def _fetch(self) -> None:
        """Replace the keys; Unavailable when Auth is away, and the old ones stay."""
        now, asked_at = time.monotonic(), time.time()
        try:
            self._keys = _download(settings().auth_jwks_url)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._failed_at = now
            raise Unavailable("auth", type(error).__name__) from error
        self._fetched_at, self._asked_at = now, asked_at


_key_set = _KeySet()


@not_in_snapshots
def forget_keys() -> None:
    """Start without keys, as a new execution environment does."""
    global _key_set  # noqa: PLW0603 -- the cache of this execution environment
    _key_set = _KeySet()


def verified_claims(token: str) -> Mapping[str, Any]:
    """The claims of a token that is signed by a key of Auth, not expired, and complete; else Unauthenticated.

    The claims have ``sub`` (str), ``type`` (0..5), ``role`` (1..2, of API keys 0 too), ``verified`` (bool) and, API
    keys excepted, ``exp``; the purpose (``type``) is for the caller to judge. Unavailable when Auth's keys are needed
    and cannot be had.
    """
    if len(token) > _MAX_TOKEN_LENGTH or token.count(".") != 2:
        raise Unauthenticated
    signed, _, signature = token.rpartition(".")
    try:
        header = json.loads(_decode(signed.partition(".")[0]))
        claims = json.loads(_decode(signed.partition(".")[2]))
        raw_signature = _decode(signature)
    except (ValueError, RecursionError) as error:
        raise Unauthenticated from error
    if not (isinstance(header, dict) and isinstance(claims, dict)):
        raise Unauthenticated
    if header.get("alg") != "EdDSA" or not isinstance(header.get("kid"), str):
        raise Unauthenticated
    if len(raw_signature) != bindings.crypto_sign_BYTES:
        raise Unauthenticated
    _check_claims(claims)  # before the signature: a token that is refused anyway fetches no keys
    if not _key_set.has_signed(header["kid"], issued_at(claims), raw_signature + signed.encode()):
        raise Unauthenticated
    return claims


def unverified_claims(token: str) -> Mapping[str, Any]:
    """The claims of a token that Auth itself made or has just vouched for; {} where there are none to read."""
    try:
        claims = json.loads(_decode(token.split(".")[1]))
    except (ValueError, IndexError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def issued_at(claims: Mapping[str, Any]) -> int | None:
    """``iat`` in Unix seconds, None where the token carries none, or one that is further ahead than clocks may differ.

    Where Auth's clock is ahead of the database's, a token that was issued within this difference before a change of the
    password, role or status outlives it: it looks younger than it is, and nothing here can tell. That is why the
    difference has a bound. A login waits until a small one is over (``sessions.obtain_tokens``).
    """
    value = claims.get("iat")
    if isinstance(value, bool) or not isinstance(value, int | float) or value in {-math.inf, math.inf}:
        return None
    return int(value) if _has_come(value, time.time()) else None


def _check_claims(claims: Mapping[str, Any]) -> None:
    now = time.time()
    # Auth is asked for each API key, and can revoke it. One may be made for ever; the real Auth gives them no role.
    is_api_key = claims.get("type") == TokenType.API_KEY
    expires_at = claims.get("exp", math.inf if is_api_key else None)
    complete = (
        claims.get("iss") == ISSUER
        and isinstance(claims.get("sub"), str)
        and bool(claims["sub"])
        and claims.get("type") in _TOKEN_TYPES
        and (claims.get("role") in _ROLES or (is_api_key and claims.get("role") == 0))
        and isinstance(claims.get("verified"), bool)
        and isinstance(expires_at, int | float)
    )
    if not (complete and expires_at > now and all(_has_come(claims.get(name), now) for name in ("iat", "nbf"))):
        raise Unauthenticated


def _has_come(moment: object, now: float) -> bool:
    """Whether an optional ``iat`` or ``nbf`` has come, or will within the difference that clocks may have."""
    return moment is None or (isinstance(moment, int | float) and moment <= now + _CLOCK_DIFFERENCE)


def _decode(part: str) -> bytes:
    """Base64url without padding; ValueError for anything else."""
    if not part.isascii():
        raise ValueError("not base64url")
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def _download(url: str) -> Mapping[str, bytes]:
    from users.aws.http_client import send  # once per environment

    # Auth lets caches keep its keys for 15 minutes, which is too long after a rotation.
    headers = {"Accept": "application/json", "Cache-Control": "no-cache"}
    authority = settings().auth_grpc_server_ca_certs  # Auth's own, which the system need not know
    status, body = send("GET", url, headers, timeout=_FETCH_TIMEOUT, authority=authority)
    if status != 200:
        raise ValueError(f"the key set's address answers {status}")
    keys = {
        key["kid"]: _decode(key["x"])
        for key in json.loads(body)["keys"]
        if key.get("kty") == "OKP" and key.get("crv") == "Ed25519"
    }
    if any(len(key) != bindings.crypto_sign_PUBLICKEYBYTES for key in keys.values()):
        raise ValueError("a key of the set has another length than Ed25519's")  # libsodium does not look
    return keys
