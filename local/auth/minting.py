"""New tokens: their claims, their signature, and the record that some types need."""

from __future__ import annotations

import math
import time
import uuid
from typing import TYPE_CHECKING

from local.auth import credentials, refresh_tokens
from local.auth.tokens import Claims, TokenType, encode

if TYPE_CHECKING:
    from datetime import timedelta

    from local.auth.database import Connection
    from local.auth.settings import TokenDurations
    from local.auth.signing import Signer

# Only these types have an id, by which the service revokes a token.
_TYPES_WITH_ID = frozenset({TokenType.REFRESH, TokenType.API_KEY})


class Minter:
    """Makes tokens of every type. `signer` may change while the service runs."""

    def __init__(self, signer: Signer, durations: TokenDurations) -> None:
        """Take the lifetimes of the types."""
        self.signer = signer
        self._lifetimes = {
            TokenType.ACCESS: durations.access,
            TokenType.REFRESH: durations.refresh,
            TokenType.RECOVERY: durations.recovery,
            TokenType.INVITATION: durations.invitation,
        }

    def claims(
        self,
        user_id: str,
        role: int,
        token_type: TokenType,
        *,
        verified: bool,
        lifetime: timedelta | None = None,
    ) -> Claims:
        """Return the claims of a new token. Without `lifetime`, the type's own counts. An API key has none."""
        now = time.time()
        return Claims(
            subject=user_id,
            type=token_type,
            role=role,
            verified=verified,
            issued_at=math.floor(now),
            expires_at=self.expiry(token_type, now) if lifetime is None else _after(now, lifetime),
            id=str(uuid.uuid4()) if token_type in _TYPES_WITH_ID else "",
        )

    def expiry(self, token_type: TokenType, now: float) -> int | None:
        """Return when a token of the type ends that begins now, or None if it never ends."""
        lifetime = self._lifetimes.get(token_type)
        return None if lifetime is None else _after(now, lifetime)

    def mint(self, connection: Connection, claims: Claims, description: str) -> str:
        """Record a refresh token or an API key, and return the signed token of any type."""
        if claims.type is TokenType.REFRESH and claims.expires_at is not None:
            refresh_tokens.forget_expired(connection, time.time())
            refresh_tokens.record(connection, claims.id, claims.subject, description, claims.expires_at)
        elif claims.type is TokenType.API_KEY:
            credentials.record_api_key(connection, claims.id, claims.subject, description, claims.expires_at)
        return encode(claims, self.signer)


def _after(now: float, lifetime: timedelta) -> int:
    return math.floor(now + lifetime.total_seconds())
