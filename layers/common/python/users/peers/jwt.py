"""Verification of access tokens, which Auth signs with Ed25519, against Auth's JWKS (contract §5.5, §5.6).

The key set is kept for five minutes. The real Auth's key id is the name of its key file, so a new key may have an old
id. A token that no held key has signed therefore fetches the set again, unless the token is older than the set.

A forged token can have any ``iat``, so a budget limits these fetches: two at once, then one in 20 seconds. An execution
environment thus fetches at most five times in a minute. One gap remains: when forged tokens or an earlier rotation have
spent the budget, a new key of Auth may be unknown here for up to 20 seconds, and its tokens are refused. Forged tokens
fetch the new key as well as genuine ones do, so a flood of them cannot delay a rotation any longer.
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
_CLOCK_DIFFERENCE = 60.0  # seconds that Auth's clock may be ahead or behind
_FETCHES_AT_ONCE = 2
_SECONDS_BETWEEN_FETCHES = 20.0
_RETRY_SECONDS = 1.0  # after a failed fetch, while there are no keys
_FETCH_TIMEOUT = 2.0
_MAX_TOKEN_LENGTH = 8192
_TOKEN_TYPES = range(len(TokenType))
_ROLES = range(1, 3)


class _KeySet:
    """The public keys by key id, and the budget of fetches."""

    def __init__(self) -> None:
        self._keys: Mapping[str, bytes] = {}
        self._fetched_at = -math.inf  # by the monotonic clock
        self._asked_at = -math.inf  # the same moment by the wall clock, for comparison with ``iat``
        self._failed_at = -math.inf  # the last fetch, if it failed
        self._budget_spent_until = -math.inf

    def has_signed(self, kid: str, issued_at: int | None, signed: bytes) -> bool:
        """Return whether the key of that id has signed ``signed``, a signature with its text.

        ``issued_at`` is the token's ``iat``, in Unix seconds. Unavailable when the answer needs keys that Auth does not
        deliver.
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
        """Fetch a missing or old set, and return whether this was done. Old keys stay valid while Auth is away."""
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
        """Take one fetch from the budget. Return whether one was left."""
        now = time.monotonic()
        if self._budget_spent_until - now > _SECONDS_BETWEEN_FETCHES * (_FETCHES_AT_ONCE - 1):
            return False
        self._budget_spent_until = max(self._budget_spent_until, now) + _SECONDS_BETWEEN_FETCHES
        return True

    def _fetch(self) -> None:
        """Replace the keys. Keep the old ones and raise Unavailable when Auth is away."""
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
    """Return the claims of a token. Unauthenticated unless Auth signed it, it is complete and has not expired.

    The claims have ``sub`` (str), ``type`` (0..5), ``role`` (1..2, for API keys also 0), ``verified`` (bool), and
    ``exp`` except for API keys. The caller must check ``type``. Unavailable when Auth's keys are needed and cannot be
    fetched.
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
    _check_claims(claims)  # before the signature, so that a token that is refused anyway fetches no keys
    if not _key_set.has_signed(header["kid"], issued_at(claims), raw_signature + signed.encode()):
        raise Unauthenticated
    return claims


def unverified_claims(token: str) -> Mapping[str, Any]:
    """Return the claims of a token that Auth has just issued or accepted, {} if they are unreadable."""
    try:
        claims = json.loads(_decode(token.split(".")[1]))
    except (ValueError, IndexError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def issued_at(claims: Mapping[str, Any]) -> int | None:
    """Return ``iat`` in Unix seconds, None for no number and for a time further ahead than clocks may differ.

    When Auth's clock is ahead of the database's, a token that was issued within the difference before a change of
    password, role or status looks younger than the change, and stays valid. Nothing here can detect that, so the
    difference has a limit. A login waits until a small difference is over (``sessions.obtain_tokens``).
    """
    value = claims.get("iat")
    if isinstance(value, bool) or not isinstance(value, int | float) or value in {-math.inf, math.inf}:
        return None
    return int(value) if _has_come(value, time.time()) else None


def _check_claims(claims: Mapping[str, Any]) -> None:
    now = time.time()
    # The service asks Auth about each API key, which Auth can revoke. API keys may have no end, and the real Auth gives
    # them no role.
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
    """Return whether an optional ``iat`` or ``nbf`` has come, within the difference that clocks may have."""
    return moment is None or (isinstance(moment, int | float) and moment <= now + _CLOCK_DIFFERENCE)


def _decode(part: str) -> bytes:
    """Decode base64url without padding. ValueError for anything else."""
    if not part.isascii():
        raise ValueError("not base64url")
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def _download(url: str) -> Mapping[str, bytes]:
    from users.aws.http_client import send  # once per environment

    # Auth lets caches keep its keys for 15 minutes, too long for a rotation.
    headers = {"Accept": "application/json", "Cache-Control": "no-cache"}
    authority = settings().auth_grpc_server_ca_certs  # Auth's own, which need not be among the system's
    status, body = send("GET", url, headers, timeout=_FETCH_TIMEOUT, authority=authority)
    if status != 200:
        raise ValueError(f"the key set's address answers {status}")
    keys = {
        key["kid"]: _decode(key["x"])
        for key in json.loads(body)["keys"]
        if key.get("kty") == "OKP" and key.get("crv") == "Ed25519"
    }
    if any(len(key) != bindings.crypto_sign_PUBLICKEYBYTES for key in keys.values()):
        raise ValueError("a key of the set has another length than Ed25519's")  # libsodium does not check
    return keys
