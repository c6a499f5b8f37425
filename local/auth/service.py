"""The operations of Auth, without their wire format (contract §4.4 and contract §5).

An operation that reads or writes records raises psycopg.Error if the database is unreachable.
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
from local.auth.minting import Minter
from local.auth.signing import KeyFileSigner
from local.auth.tokens import Role, TokenType, decode, encode

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from local.auth.database import Database
    from local.auth.refresh_tokens import RefreshTokenRecord
    from local.auth.settings import TokenDurations
    from local.auth.signing import Signer

_ISSUABLE = frozenset({TokenType.ACCESS, TokenType.API_KEY, TokenType.RECOVERY, TokenType.INVITATION})


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """A JWT, with a refresh token if Issue made an access token, or after Refresh."""

    access: str
    refresh: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """The owner of a token. `token_id` is empty for tokens without an id."""

    token_id: str
    user_id: str
    role: int
    verified: bool
    token_type: TokenType


class Auth:
    """The service over its records and keys."""

    def __init__(self, database: Database, signer: Signer, durations: TokenDurations, *, strict: bool) -> None:
        """`strict` (AUTH_STRICT=1): Refresh rotates ids, Revoke checks the owner, API keys need no role."""
        self._database = database
        self._minter = Minter(signer, durations)
        self._strict = strict

    def rotate_keys(self, directory: Path, kid: str = "") -> None:
        """Sign with a new key from now on, under the old key id if `kid` is empty (`KeyFileSigner.rotated`).

        Raise ValueError for a wrong key id, and for a shared secret.
        """
        signer = self._minter.signer
        if not isinstance(signer, KeyFileSigner):
            raise ValueError("a shared secret cannot rotate")  # noqa: TRY004 - the caller reports a wrong request
        self._minter.signer = signer.rotated(directory, kid or signer.key_id)

    def jwks(self) -> list[dict[str, str]]:
        """Return the public keys, the active one first. A shared secret has none."""
        return self._minter.signer.jwks()

    def issue(self, user_id: str, role: int, token_type: int, *, verified: bool, description: str = "") -> IssuedTokens:
        """Issue a token to a user who has the role.

        Raise MalformedRequest for a type that Issue does not make, IssueFailed if the relation is missing.
        """
        if token_type not in _ISSUABLE:
            raise MalformedRequest
        claims = self._minter.claims(user_id, role, TokenType(token_type), verified=verified)
        with self._database.transaction() as connection:
            if not relationships.has_role(connection, user_id, role):
                raise IssueFailed
            token = self._minter.mint(connection, claims, description)
            if claims.type is not TokenType.ACCESS:
                return IssuedTokens(token)
            refresh = self._minter.claims(user_id, role, TokenType.REFRESH, verified=verified)
            return IssuedTokens(token, self._minter.mint(connection, refresh, description))

    def refresh(self, token: str, *, verified: bool) -> IssuedTokens:
        """Return a new pair for a refresh token: same expiry, same role, and (unless strict) the same id.

        Like upstream, do not check the relations again (contract §5.5). Raise Unauthenticated for a foreign, expired or
        revoked token, IssueFailed for a token of another type.
        """
        if not token:
            raise MalformedRequest
        if token.startswith("pat"):
            raise IssueFailed("token is not a refresh token")
        now = time.time()
        old = decode(token, self._minter.signer, now)
        if old.type is not TokenType.REFRESH:
            raise IssueFailed("token is not a refresh token")
        new_id = self._use(old.id, now)
        refreshed = replace(old, id=new_id, issued_at=math.floor(now), verified=verified)
        access = replace(refreshed, type=TokenType.ACCESS, expires_at=self._minter.expiry(TokenType.ACCESS, now))
        return IssuedTokens(encode(access, self._minter.signer), encode(refreshed, self._minter.signer))

    def _use(self, token_id: str, now: float) -> str:
        """Record the use of a refresh token, and return its id from now on. Raise TokenRevoked without a record."""
        new_id = str(uuid.uuid4()) if self._strict else token_id
        with self._database.transaction() as connection:
            if self._strict:
                known = refresh_tokens.rotate(connection, token_id, new_id, now)
            else:
                known = refresh_tokens.renew(connection, token_id, now)
        if not known:
            raise TokenRevoked
        return new_id

    def revoke(self, token_id: str, user_id: str) -> None:
        """Delete the record of a refresh token, if there is one.

        By default the token may belong to anybody. If strict, raise NotFound unless it belongs to the user.
        """
        if not token_id:
            raise MalformedRequest
        with self._database.transaction() as connection:
            if not self._strict:
                refresh_tokens.forget(connection, token_id)
            elif not refresh_tokens.forget_owned(connection, token_id, user_id):
                raise NotFound

    def list_refresh_tokens(self, user_id: str) -> list[RefreshTokenRecord]:
        """Return the user's live refresh tokens in the order of their expiry."""
        if not user_id:
            raise MalformedRequest
        with self._database.transaction() as connection:
            return refresh_tokens.live(connection, user_id, time.time())

    def authenticate(self, token: str) -> Session:
        """Return the owner of a token of any type (contract §9 S5).

        Only PATs and API keys need a record: a revoked refresh token passes. Raise Unauthenticated, or NotFound for an
        unknown PAT.
        """
        if not token:
            raise MalformedRequest
        if token.startswith("pat"):
            return self._authenticate_pat(credentials.PersonalAccessToken.parse(token))
        claims = decode(token, self._minter.signer, time.time(), api_keys_without_role=self._strict)
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
        """Return if the subject has the permission on the resource, each as (type, id).

        Raise MalformedRequest if a part is missing. Raise AccessDenied otherwise, also for an unreachable database:
        upstream gives every failure this status (contract §2.3).
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
        """Make any JWT without a check of the relations, for the command line. Return the token and its id.

        Without `duration`, the type's own lifetime counts. Refresh tokens and API keys are on record like all others.
        """
        claims = self._minter.claims(user_id, role, token_type, verified=verified, lifetime=duration)
        with self._database.transaction() as connection:
            return self._minter.mint(connection, claims, description), claims.id
