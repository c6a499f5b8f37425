"""Access tokens that Auth signed with Ed25519, checked in the function against Auth's JWKS (contract §5.5, §5.6).

The key set is kept for five minutes. An unknown key id asks for a fresh one, but not more than twice a minute, so that
garbage tokens cannot make this service fetch again and again (contract §9 S23).
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
_LEAST_SECONDS_BETWEEN_FETCHES = 30.0
_RETRY_SECONDS = 1.0  # after a failed fetch
_FETCH_TIMEOUT = 2.0
_MAX_TOKEN_LENGTH = 8192
_TOKEN_TYPES = range(len(TokenType))
_ROLES = range(1, 3)


class _KeySet:
    """The public keys by key id, and when they were asked for."""

    def __init__(self) -> None:
        self.keys: Mapping[str, bytes] = {}
        self.fetched_at = -_CACHE_SECONDS
        self.failed_at = -_CACHE_SECONDS

    def find(self, kid: str) -> bytes | None:
        age = time.monotonic() - self.fetched_at
        if age > _CACHE_SECONDS or (kid not in self.keys and age > _LEAST_SECONDS_BETWEEN_FETCHES):
            self._fetch(required=kid not in self.keys)
        return self.keys.get(kid)

    def _fetch(self, *, required: bool) -> None:
        """Replace the keys. When Auth is away, known keys go on; an unknown one cannot be judged: Unavailable."""
        now = time.monotonic()
        if now - self.failed_at > _RETRY_SECONDS:
            try:
                self.keys = _download(settings().auth_jwks_url)
                self.fetched_at = now
            except (OSError, ValueError, KeyError, TypeError) as error:
                self.failed_at = now
                if required:
                    raise Unavailable("auth") from error
        elif required:
            raise Unavailable("auth")


_key_set = _KeySet()


@not_in_snapshots
def forget_keys() -> None:
    """Start without keys, as a new execution environment does."""
    global _key_set  # noqa: PLW0603 -- the cache of this execution environment
    _key_set = _KeySet()


def verified_claims(token: str) -> Mapping[str, Any]:
    """The claims of a token that is signed by a known key, not expired, and complete; else Unauthenticated.

    The claims have ``sub`` (str), ``type`` (0..5), ``role`` (1..2), ``verified`` (bool) and, API keys excepted,
    ``exp``; the purpose (``type``) is for the caller to judge.
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
    key = _key_set.find(header["kid"])
    if key is None or len(raw_signature) != bindings.crypto_sign_BYTES:
        raise Unauthenticated
    try:
        bindings.crypto_sign_open(raw_signature + signed.encode(), key)
    except BadSignatureError as error:
        raise Unauthenticated from error
    _check_claims(claims)
    return claims


def unverified_claims(token: str) -> Mapping[str, Any]:
    """The claims of a token that Auth itself made or has just vouched for; {} where there are none to read."""
    try:
        claims = json.loads(_decode(token.split(".")[1]))
    except (ValueError, IndexError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def issued_at(claims: Mapping[str, Any]) -> int | None:
    """``iat`` in Unix seconds, None where the token carries none."""
    value = claims.get("iat")
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _check_claims(claims: Mapping[str, Any]) -> None:
    now = time.time()
    # An API key may be made for ever; Auth, which is asked for each of them, can revoke it.
    expires_at = claims.get("exp", math.inf if claims.get("type") == TokenType.API_KEY else None)
    complete = (
        claims.get("iss") == ISSUER
        and isinstance(claims.get("sub"), str)
        and bool(claims["sub"])
        and claims.get("type") in _TOKEN_TYPES
        and claims.get("role") in _ROLES
        and isinstance(claims.get("verified"), bool)
        and isinstance(expires_at, int | float)
    )
    if not complete or expires_at <= now or not all(_is_past(claims.get(name), now) for name in ("iat", "nbf")):
        raise Unauthenticated


def _is_past(moment: object, now: float) -> bool:
    """Whether an optional ``iat`` or ``nbf`` has come. Auth counts whole seconds and rounds down."""
    return moment is None or (isinstance(moment, int | float) and moment <= now)


def _decode(part: str) -> bytes:
    """Base64url without padding; ValueError for anything else."""
    if not part.isascii():
        raise ValueError("not base64url")
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def _download(url: str) -> Mapping[str, bytes]:
    from users.http_client import send  # once per environment

    authority = settings().auth_grpc_server_ca_certs  # Auth's own, which the system need not know
    status, body = send("GET", url, {"Accept": "application/json"}, timeout=_FETCH_TIMEOUT, authority=authority)
    if status != 200:
        raise ValueError(f"the key set's address answers {status}")
    return {
        key["kid"]: _decode(key["x"])
        for key in json.loads(body)["keys"]
        if key.get("kty") == "OKP" and key.get("crv") == "Ed25519"
    }
