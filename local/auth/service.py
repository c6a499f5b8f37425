"""What the service does, without its wire (contract §4.4, §5.1–§5.6).

Every call that reads or writes records may also raise psycopg.Error when the database is away.
"""

from __future__ import annotations

import math
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import grpc
import psycopg

from local.auth import credentials, refresh_tokens, relationships
from local.auth.errors import (
    AccessDenied,
    IssueFailed,
    MalformedRequest,
    NotFound,
    NotInSchema,
    TokenRevoked,
    policy_store_failure,
)
from local.auth.signing import KeyFileSigner
from local.auth.tokens import Claims, Role, TokenType, decode, encode

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from local.auth.database import Connection, Database
    from local.auth.refresh_tokens import RefreshTokenRecord
    from local.auth.settings import TokenDurations
    from local.auth.signing import Signer

_ISSUABLE = frozenset({TokenType.ACCESS, TokenType.API_KEY, TokenType.RECOVERY, TokenType.INVITATION})


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """JWTs; only Issue of an access token and Refresh give a refresh token."""

    access: str
    refresh: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """Whose token it is. `token_id` is empty for tokens without an id."""

    token_id: str
    user_id: str
    role: int
    verified: bool
    token_type: TokenType


class Auth:
    """The service over its records and keys."""

    def __init__(self, database: Database, signer: Signer, durations: TokenDurations, *, strict: bool) -> None:
        """`strict` (AUTH_STRICT=1): Refresh rotates the token's id, Revoke asks who owns it, API keys need no role."""
        self._database = database
        self._signer = signer
        self._durations = durations
        self._strict = strict

    def rotate_keys(self, directory: Path, kid: str = "") -> None:
        """Sign with a new key from here on; without `kid` under the key id of before (`KeyFileSigner.rotated`).

        Raises ValueError for a bad key id, and where the keys are a shared secret.
        """
        if not isinstance(self._signer, KeyFileSigner):
            raise ValueError("a shared secret is not rotated")  # noqa: TRY004 - the caller tells what was asked
        self._signer = self._signer.rotated(directory, kid or self._signer.key_id)

    def jwks(self) -> list[dict[str, str]]:
        """The public keys, the active one first; empty for a shared secret."""
        return self._signer.jwks()

    def issue(self, user_id: str, role: int, token_type: int, *, verified: bool, description: str = "") -> IssuedTokens:
        """Issue a token for a user whose role the relations grant.

        Raises MalformedRequest for a type that cannot be asked for, IssueFailed when the relation is missing.
        """
        if token_type not in _ISSUABLE:
            raise MalformedRequest
        with self._database.transaction() as connection:
            if not relationships.has_role(connection, user_id, role):
                raise IssueFailed
            return self._mint(
                connection, self._claims(user_id, role, TokenType(token_type), verified=verified), description
            )

    def refresh(self, token: str, *, verified: bool) -> IssuedTokens:
        """Give a new pair for a refresh token: same expiry, old role, and (unless strict) the same id.

        The relations are not asked again (contract §5.5). Raises Unauthenticated for a token that is not
        ours, expired or revoked; IssueFailed for one that is not a refresh token.
        """
        if not token:
            raise MalformedRequest
        if token.startswith("pat"):
            raise IssueFailed("token is not a refresh token")
        now = time.time()
        old = decode(token, self._signer, now)
        if old.type is not TokenType.REFRESH:
            raise IssueFailed("token is not a refresh token")
        new_id = str(uuid.uuid4()) if self._strict else old.id
        with self._database.transaction() as connection:
            if self._strict:
                known = refresh_tokens.rotate(connection, old.id, new_id, now)
            else:
                known = refresh_tokens.renew(connection, old.id, now)
        if not known:
            raise TokenRevoked
        refreshed = replace(old, id=new_id, issued_at=math.floor(now), verified=verified)
        access = replace(refreshed, type=TokenType.ACCESS, expires_at=_expiry(now, self._durations.access))
        return IssuedTokens(encode(access, self._signer), encode(refreshed, self._signer))

    def revoke(self, token_id: str, user_id: str) -> None:
        """Forget a refresh token, anybody's, or do nothing; strict: only the user's own, else NotFound."""
        if not token_id:
            raise MalformedRequest
        with self._database.transaction() as connection:
            if not self._strict:
                refresh_tokens.forget(connection, token_id)
            elif not refresh_tokens.forget_owned(connection, token_id, user_id):
                raise NotFound

    def list_refresh_tokens(self, user_id: str) -> list[RefreshTokenRecord]:
        """The user's live refresh tokens, the first to expire first."""
        if not user_id:
            raise MalformedRequest
        with self._database.transaction() as connection:
            return refresh_tokens.live(connection, user_id, time.time())

    def authenticate(self, token: str) -> Session:
        """Say whose token it is, whatever its type (contract §9 S5).

        Only PATs and API keys are looked up: a revoked refresh token still passes. Raises Unauthenticated;
        NotFound for an unknown PAT.
        """
        if not token:
            raise MalformedRequest
        if token.startswith("pat"):
            return self._authenticate_pat(credentials.PersonalAccessToken.parse(token))
        claims = decode(token, self._signer, time.time(), api_keys_without_role=self._strict)
        if claims.type is TokenType.API_KEY:
            with self._database.transaction() as connection:
                credentials.check_api_key(connection, claims.id)
        return Session(claims.id, claims.subject, claims.role, claims.verified, claims.type)

    def _authenticate_pat(self, pat: credentials.PersonalAccessToken) -> Session:
        with self._database.transaction() as connection:
            credentials.check_pat(connection, pat, time.time())
            admin = relationships.has_role(connection, str(pat.user_id), Role.ADMIN)
        role = Role.ADMIN if admin else Role.USER
        return Session(str(pat.id), str(pat.user_id), role, verified=False, token_type=TokenType.PERSONAL_ACCESS_TOKEN)

    def authorize(self, subject: tuple[str, str], permission: str, resource: tuple[str, str]) -> None:
        """Check a permission of a (type, id) subject on a (type, id) resource.

        Raises MalformedRequest when a part is missing. Everything else that is not a grant raises
        AccessDenied, also when the relations cannot be read: upstream wraps every failure so (contract §2.3).
        """
        if not all((*subject, permission, *resource)):
            raise MalformedRequest
        try:
            with self._database.transaction() as connection:
                permitted = relationships.permits(connection, resource, permission, subject)
        except NotInSchema as error:
            raise AccessDenied from error
        except psycopg.OperationalError as error:
            raise policy_store_failure(grpc.StatusCode.UNAVAILABLE) from error
        if not permitted:
            raise AccessDenied

    def mint(
        self,
        user_id: str,
        role: int,
        token_type: TokenType,
        *,
        verified: bool,
        duration: timedelta | None,
        description: str = "",
    ) -> tuple[str, str]:
        """Make any JWT without asking the relations, for the command line; gives it and its id.

        `duration` None = the type's own. A refresh token or API key made so is on record like any other.
        """
        claims = self._claims(user_id, role, token_type, verified=verified, duration=duration)
        with self._database.transaction() as connection:
            self._record(connection, claims, description)
        return encode(claims, self._signer), claims.id

    def _claims(
        self,
        user_id: str,
        role: int,
        token_type: TokenType,
        *,
        verified: bool,
        duration: timedelta | None = None,
    ) -> Claims:
        now = time.time()
        lifetime = duration if duration is not None else self._lifetime(token_type)
        has_id = token_type in {TokenType.REFRESH, TokenType.API_KEY}
        return Claims(
            subject=user_id,
            type=token_type,
            role=role,
            verified=verified,
            issued_at=math.floor(now),
            expires_at=None if lifetime is None else _expiry(now, lifetime),
            id=str(uuid.uuid4()) if has_id else "",
        )

    def _lifetime(self, token_type: TokenType) -> timedelta | None:
        lifetimes = {
            TokenType.ACCESS: self._durations.access,
            TokenType.REFRESH: self._durations.refresh,
            TokenType.RECOVERY: self._durations.recovery,
            TokenType.INVITATION: self._durations.invitation,
        }
        return lifetimes.get(token_type)  # an API key lives until it is revoked

    def _mint(self, connection: Connection, claims: Claims, description: str) -> IssuedTokens:
        self._record(connection, claims, description)
        token = encode(claims, self._signer)
        if claims.type is not TokenType.ACCESS:
            return IssuedTokens(token)
        refresh = self._claims(claims.subject, claims.role, TokenType.REFRESH, verified=claims.verified)
        self._record(connection, refresh, description)
        return IssuedTokens(token, encode(refresh, self._signer))

    def _record(self, connection: Connection, claims: Claims, description: str) -> None:
        if claims.type is TokenType.REFRESH and claims.expires_at is not None:
            refresh_tokens.forget_expired(connection, time.time())
            refresh_tokens.record(connection, claims.id, claims.subject, description, claims.expires_at)
        elif claims.type is TokenType.API_KEY:
            credentials.record_api_key(connection, claims.id, claims.subject, description, claims.expires_at)


def _expiry(now: float, lifetime: timedelta) -> int:
    return math.floor(now + lifetime.total_seconds())
