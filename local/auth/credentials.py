"""Credentials that users make for programs: personal access tokens and API keys (contract §5.5 and contract §5.6)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import string
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.auth.errors import NotFound, TokenExpired, TokenRevoked, Unauthenticated

if TYPE_CHECKING:
    from local.auth.database import Connection

_SECRET_ALPHABET = string.ascii_letters + string.digits
_SECRET_LENGTH = 100


@dataclass(frozen=True, slots=True)
class PersonalAccessToken:
    """``pat_<base64 of user id and token id, 16 bytes each>_<100 random characters>``."""

    id: uuid.UUID
    user_id: uuid.UUID
    text: str

    @classmethod
    def new(cls, user_id: uuid.UUID) -> PersonalAccessToken:
        """Make a new token."""
        token_id = uuid.uuid4()
        ids = base64.b64encode(user_id.bytes + token_id.bytes).decode()
        secret = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
        return cls(token_id, user_id, f"pat_{ids}_{secret}")

    @classmethod
    def parse(cls, text: str) -> PersonalAccessToken:
        """Read the ids from the token's text. Raise Unauthenticated if it has another form."""
        try:
            prefix, encoded, _secret = text.split("_", 2)
            ids = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Unauthenticated from error
        if prefix != "pat" or len(ids) != 32:
            raise Unauthenticated
        return cls(uuid.UUID(bytes=ids[16:]), uuid.UUID(bytes=ids[:16]), text)

    @property
    def hash(self) -> bytes:
        """The SHA-256 digest, which the database contains instead of the text."""
        return hashlib.sha256(self.text.encode()).digest()


def record_pat(connection: Connection, pat: PersonalAccessToken, name: str, expires_at: int | None) -> None:
    """Record a new token. `expires_at` is in Unix seconds, and None for a token that never expires."""
    connection.execute(
        "INSERT INTO auth.personal_access_tokens (id, user_id, name, secret_hash, expires_at)"
        " VALUES (%s, %s, %s, %s, to_timestamp(%s))",
        [pat.id, pat.user_id, name, pat.hash, expires_at],
    )


def check_pat(connection: Connection, pat: PersonalAccessToken, now: float) -> None:
    """Raise NotFound, Unauthenticated, TokenRevoked or TokenExpired unless the token is valid at `now`."""
    row = connection.execute(
        "SELECT secret_hash, revoked_at IS NOT NULL, coalesce(expires_at <= to_timestamp(%s), false)"
        " FROM auth.personal_access_tokens WHERE id = %s AND user_id = %s",
        [now, pat.id, pat.user_id],
    ).fetchone()
    if row is None:
        raise NotFound
    secret_hash, revoked, expired = row
    if not hmac.compare_digest(pat.hash, secret_hash):
        raise Unauthenticated
    if revoked:
        raise TokenRevoked
    if expired:
        raise TokenExpired


def revoke_pat(connection: Connection, pat_id: uuid.UUID) -> bool:
    """Revoke a token. Return False if there is none with this id."""
    return bool(
        connection.execute(
            "UPDATE auth.personal_access_tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s",
            [pat_id],
        ).rowcount
    )


def record_api_key(connection: Connection, key_id: str, user_id: str, name: str, expires_at: int | None) -> None:
    """Record a new API key. `expires_at` is in Unix seconds, and None for a key that never expires."""
    connection.execute(
        "INSERT INTO auth.api_keys (id, user_id, name, expires_at) VALUES (%s, %s, %s, to_timestamp(%s))",
        [key_id, user_id, name, expires_at],
    )


def check_api_key(connection: Connection, key_id: str) -> None:
    """Raise TokenRevoked unless the key is on record and not revoked. The JWT itself contains the expiry."""
    row = connection.execute("SELECT FROM auth.api_keys WHERE id = %s AND revoked_at IS NULL", [key_id]).fetchone()
    if row is None:
        raise TokenRevoked


def revoke_api_key(connection: Connection, key_id: str) -> bool:
    """Revoke a key. Return False if there is none with this id."""
    return bool(
        connection.execute(
            "UPDATE auth.api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s", [key_id]
        ).rowcount
    )
