"""The commands that make and revoke tokens, over the same records and keys as the service.

Only the token goes to stdout. Its id goes to stderr.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from local.auth import credentials
from local.auth.database import Database
from local.auth.service import Auth
from local.auth.signing import load_signer
from local.auth.tokens import Role, TokenType

if TYPE_CHECKING:
    import argparse

    from local.auth.settings import Settings

TOKEN_TYPES = {
    "access": TokenType.ACCESS,
    "refresh": TokenType.REFRESH,
    "recovery": TokenType.RECOVERY,
    "invitation": TokenType.INVITATION,
}
ROLES: dict[str, int] = {"user": Role.USER, "admin": Role.ADMIN}
# The real service makes API keys without a role at POST /keys, and refuses them itself. AUTH_STRICT=1 accepts them.
API_KEY_ROLES = {**ROLES, "none": 0}


def make_token(settings: Settings, options: argparse.Namespace) -> int:
    """Print a JWT."""
    token, token_id = _auth(settings).mint(
        options.user_id,
        ROLES[options.role],
        TOKEN_TYPES[options.type],
        verified=options.verified,
        duration=options.expires,
        description=options.description,
    )
    return _show(token, token_id)


def make_pat(settings: Settings, options: argparse.Namespace) -> int:
    """Print a personal access token."""
    pat = credentials.PersonalAccessToken.new(options.user_id)
    expires_at = None if options.expires is None else int(time.time() + options.expires.total_seconds())
    with _records(settings).transaction() as connection:
        credentials.record_pat(connection, pat, options.name, expires_at)
    return _show(pat.text, str(pat.id))


def make_api_key(settings: Settings, options: argparse.Namespace) -> int:
    """Print an API key."""
    token, key_id = _auth(settings).mint(
        options.user_id,
        API_KEY_ROLES[options.role],
        TokenType.API_KEY,
        verified=options.verified,
        duration=options.expires,
        description=options.name,
    )
    return _show(token, key_id)


def revoke_pat(settings: Settings, options: argparse.Namespace) -> int:
    """Revoke a personal access token."""
    with _records(settings).transaction() as connection:
        return _report(credentials.revoke_pat(connection, options.id), f"personal access token {options.id}")


def revoke_api_key(settings: Settings, options: argparse.Namespace) -> int:
    """Revoke an API key."""
    with _records(settings).transaction() as connection:
        return _report(credentials.revoke_api_key(connection, options.id), f"API key {options.id}")


def _records(settings: Settings) -> Database:
    database = Database(settings.database)
    database.create_schema()
    return database


def _auth(settings: Settings) -> Auth:
    return Auth(_records(settings), load_signer(settings), settings.durations, strict=settings.strict)


def _show(token: str, token_id: str) -> int:
    if token_id:
        print(f"id: {token_id}", file=sys.stderr)
    print(token)
    return 0


def _report(done: bool, what: str) -> int:
    print(f"revoked: {what}" if done else f"there is no {what}", file=sys.stderr)
    return 0 if done else 1
