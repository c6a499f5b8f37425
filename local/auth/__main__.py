"""The command line: ``serve``, and commands that make and revoke tokens in the same records.

All commands take the database and the keys from the same environment variables (see `settings`); a token goes
to stdout alone, its id to stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import uuid
from typing import TYPE_CHECKING

import psycopg

from local.auth import credentials
from local.auth.database import Database
from local.auth.errors import Unauthenticated
from local.auth.logs import log_as_json
from local.auth.server import PortUnavailable, serve
from local.auth.service import Auth
from local.auth.settings import Settings, SettingsError, parse_duration
from local.auth.signing import load_signer
from local.auth.tokens import Role, TokenType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

_TOKEN_TYPES = {
    "access": TokenType.ACCESS,
    "refresh": TokenType.REFRESH,
    "recovery": TokenType.RECOVERY,
    "invitation": TokenType.INVITATION,
}
_ROLES: dict[str, int] = {"user": Role.USER, "admin": Role.ADMIN}
# "none": as the real service makes them at POST /keys. It refuses them itself; with AUTH_STRICT=1 they are good.
_API_KEY_ROLES = {**_ROLES, "none": 0}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
        return int(options.run(settings, options))
    except (SettingsError, PortUnavailable) as error:
        message = str(error)
    except psycopg.OperationalError as error:
        # `make run` sets MG_AUTH_DB_URL itself, from what the person set.
        variables = os.environ.get("AUTH_DB_SET_BY") or "MG_AUTH_DB_URL"
        message = f"the database of {variables} cannot be used: {str(error).strip()}"
    print(f"local.auth: {message}", file=sys.stderr)
    return 1


def _serve(settings: Settings, _options: argparse.Namespace) -> int:
    log_as_json(settings.log_level)
    serve(settings)
    return 0


def _token(settings: Settings, options: argparse.Namespace) -> int:
    token, token_id = _auth(settings).mint(
        options.user_id,
        _ROLES[options.role],
        _TOKEN_TYPES[options.type],
        verified=options.verified,
        duration=options.expires,
        description=options.description,
    )
    return _show(token, token_id)


def _pat(settings: Settings, options: argparse.Namespace) -> int:
    pat = credentials.PersonalAccessToken.new(options.user_id)
    expires_at = None if options.expires is None else int(time.time() + options.expires.total_seconds())
    with _records(settings).transaction() as connection:
        credentials.record_pat(connection, pat, options.name, expires_at)
    return _show(pat.text, str(pat.id))


def _api_key(settings: Settings, options: argparse.Namespace) -> int:
    token, key_id = _auth(settings).mint(
        options.user_id,
        _API_KEY_ROLES[options.role],
        TokenType.API_KEY,
        verified=options.verified,
        duration=options.expires,
        description=options.name,
    )
    return _show(token, key_id)


def _revoke_pat(settings: Settings, options: argparse.Namespace) -> int:
    with _records(settings).transaction() as connection:
        return _report(credentials.revoke_pat(connection, options.id), f"personal access token {options.id}")


def _revoke_api_key(settings: Settings, options: argparse.Namespace) -> int:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.auth", description="A local Auth service.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("serve", help="serve gRPC, the public keys and the SpiceDB calls")
    command.set_defaults(run=_serve)

    command = commands.add_parser("token", help="print a JWT of any type, without asking the relations")
    command.set_defaults(run=_token)
    command.add_argument("user_id", metavar="USER_ID")
    command.add_argument("--type", choices=_TOKEN_TYPES, default="access")
    command.add_argument("--description", default="", help="label of a refresh token")
    _add_claims(command, "its type's lifetime; negative = expired already")

    command = commands.add_parser("pat", help="make a personal access token")
    command.set_defaults(run=_pat)
    command.add_argument("user_id", metavar="USER_ID", type=uuid.UUID)
    command.add_argument("--name", default="")
    command.add_argument("--expires", type=_duration, metavar="DURATION", help="such as 720h; default never")

    command = commands.add_parser("api-key", help="make an API key")
    command.set_defaults(run=_api_key)
    command.add_argument("user_id", metavar="USER_ID")
    command.add_argument("--name", default="")
    _add_claims(command, "never", _API_KEY_ROLES)

    command = commands.add_parser("revoke-pat", help="revoke a personal access token")
    command.set_defaults(run=_revoke_pat)
    command.add_argument("id", metavar="ID_OR_TOKEN", type=_pat_id)

    command = commands.add_parser("revoke-api-key", help="revoke an API key")
    command.set_defaults(run=_revoke_api_key)
    command.add_argument("id", metavar="ID")
    return parser


def _add_claims(command: argparse.ArgumentParser, default_expiry: str, roles: Mapping[str, int] = _ROLES) -> None:
    command.add_argument("--role", choices=roles, default="user")
    command.add_argument("--verified", action=argparse.BooleanOptionalAction, default=True)
    command.add_argument("--expires", type=_duration, metavar="DURATION", help=f"such as 30s; default {default_expiry}")


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _pat_id(text: str) -> uuid.UUID:
    """The id of a PAT, also taken from the token itself."""
    if not text.startswith("pat_"):
        return uuid.UUID(text)
    try:
        return credentials.PersonalAccessToken.parse(text).id
    except Unauthenticated as error:
        raise argparse.ArgumentTypeError("not a personal access token") from error


if __name__ == "__main__":
    sys.exit(main())
