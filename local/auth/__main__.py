"""Command line: ``serve``, and the commands that make and revoke tokens. README.md shows them."""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from typing import TYPE_CHECKING

import psycopg

from local.auth import commands
from local.auth.credentials import PersonalAccessToken
from local.auth.errors import Unauthenticated
from local.auth.server import serve
from local.auth.settings import Settings
from local.serving.durations import parse_duration
from local.serving.json_log import configure_log
from local.serving.sockets import PortUnusable
from local.serving.variables import SettingsUnusable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
        return int(options.run(settings, options))
    except (SettingsUnusable, PortUnusable) as error:
        message = str(error)
    except psycopg.OperationalError as error:
        # `make run` sets MG_AUTH_DB_URL itself, from variables that a person set.
        variables = os.environ.get("AUTH_DB_SET_BY") or "MG_AUTH_DB_URL"
        message = f"the database of {variables} cannot be used: {str(error).strip()}"
    print(f"local.auth: {message}", file=sys.stderr)
    return 1


def _serve(settings: Settings, _options: argparse.Namespace) -> int:
    configure_log("auth", settings.log_level)
    serve(settings)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.auth", description="A local Auth service.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    command = subparsers.add_parser("serve", help="serve Auth and Domains, the public keys, and SpiceDB's calls")
    command.set_defaults(run=_serve)

    command = subparsers.add_parser("token", help="print a JWT of any type, without a check of the relations")
    command.set_defaults(run=commands.make_token)
    command.add_argument("user_id", metavar="USER_ID")
    command.add_argument("--type", choices=commands.TOKEN_TYPES, default="access")
    command.add_argument("--description", default="", help="label of a refresh token")
    _add_claims(command, "the type's lifetime; a negative one has expired already")

    command = subparsers.add_parser("pat", help="make a personal access token")
    command.set_defaults(run=commands.make_pat)
    command.add_argument("user_id", metavar="USER_ID", type=uuid.UUID)
    command.add_argument("--name", default="")
    command.add_argument("--expires", type=_duration, metavar="DURATION", help="such as 720h; default: never")

    command = subparsers.add_parser("api-key", help="make an API key")
    command.set_defaults(run=commands.make_api_key)
    command.add_argument("user_id", metavar="USER_ID")
    command.add_argument("--name", default="")
    _add_claims(command, "never", commands.API_KEY_ROLES)

    command = subparsers.add_parser("revoke-pat", help="revoke a personal access token")
    command.set_defaults(run=commands.revoke_pat)
    command.add_argument("id", metavar="ID_OR_TOKEN", type=_pat_id)

    command = subparsers.add_parser("revoke-api-key", help="revoke an API key")
    command.set_defaults(run=commands.revoke_api_key)
    command.add_argument("id", metavar="ID")
    return parser


def _add_claims(
    command: argparse.ArgumentParser, default_expiry: str, roles: Mapping[str, int] = commands.ROLES
) -> None:
    command.add_argument("--role", choices=roles, default="user")
    command.add_argument("--verified", action=argparse.BooleanOptionalAction, default=True)
    command.add_argument(
        "--expires", type=_duration, metavar="DURATION", help=f"such as 30s; default: {default_expiry}"
    )


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from error


def _pat_id(text: str) -> uuid.UUID:
    """Return the id of a personal access token, from the id itself or from the token."""
    if not text.startswith("pat_"):
        return uuid.UUID(text)
    try:
        return PersonalAccessToken.parse(text).id
    except Unauthenticated as error:
        raise argparse.ArgumentTypeError("not a personal access token") from error


if __name__ == "__main__":
    sys.exit(main())
