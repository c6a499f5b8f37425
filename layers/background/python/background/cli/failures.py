"""Foreseen errors as a message with advice and an exit code, instead of a traceback."""

import errno
from enum import IntEnum
from typing import NamedTuple

import click
import psycopg
from psycopg import errors as pg

from users.errors import Unavailable, UsersError
from users.repository.database import DatabaseUnavailable, QueryTooExpensive
from users.settings import WrongSettings, settings


class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    SCHEMA = 4
    INTERRUPTED = 130


EXIT_CODES = """\b
Exit codes:
  0    done
  1    refused, or only partly done; the message explains what is missing
  2    wrong usage or configuration; nothing has changed
  3    the database, Auth or SpiceDB does not answer; try again later
  4    the database does not have the tables of this release; run `python -m users bootstrap`
  130  interrupted; the same command continues the work
"""

_RUN_BOOTSTRAP = "run `python -m users bootstrap`, then this command again"
_WRONG_SCHEMA = (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction)

# The first class that fits counts. The last class is the base of some others.
_DATABASE_ADVICE = {
    pg.ReadOnlySqlTransaction: (
        Exit.UNAVAILABLE,
        "database_read_only",
        "the database accepts no changes at the moment, try again later",
    ),
    pg.InsufficientPrivilege: (
        Exit.USAGE,
        "database_privilege",
        "grant the privilege to the role of MG_USERS_DB_USER",
    ),
    pg.DiskFull: (
        Exit.UNAVAILABLE,
        "database_full",
        "free space on the database's disk, then run this command again",
    ),
    psycopg.OperationalError: (
        Exit.UNAVAILABLE,
        "database_unavailable",
        "check MG_USERS_DB_*, and that the database runs, then run this command again",
    ),
}


class Refused(Exception):
    """Raised when a command cannot do its work. The text contains the reason and advice."""

    def __init__(self, message: str, exit_code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Failure(NamedTuple):
    """The end of a command that failed. ``error`` is a stable code in snake_case."""

    exit_code: Exit
    error: str
    message: str


FORESEEN = (UsersError, WrongSettings, Refused, psycopg.Error, OSError, UnicodeError, click.ClickException)


def explain(error: BaseException) -> Failure:
    """Return the failure for an error of ``FORESEEN``."""
    if isinstance(error, Unavailable):
        failure = _unavailable(error)
    elif isinstance(error, UsersError):
        failure = Failure(Exit.FAILED, error.code, error.message)
    elif isinstance(error, Refused):
        failure = Failure(error.exit_code, "refused", str(error))
    elif isinstance(error, psycopg.Error):
        failure = _database(error)
    elif isinstance(error, OSError):
        failure = _file(error)
    elif isinstance(error, UnicodeError):
        failure = Failure(Exit.USAGE, "encoding", "the input is not UTF-8")
    else:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        failure = Failure(Exit.USAGE, "configuration" if isinstance(error, WrongSettings) else "usage", text)
    return failure


def _unavailable(error: Unavailable) -> Failure:
    if isinstance(error, QueryTooExpensive):
        return Failure(Exit.UNAVAILABLE, "database_busy", "the database did not answer in time: try again")
    if isinstance(error, DatabaseUnavailable):
        return _database(error.error)
    return _away(error)


def _database(error: psycopg.Error) -> Failure:
    if isinstance(error, _WRONG_SCHEMA):
        first = str(error).partition("\n")[0]
        message = f"{database()} does not have the tables of this release ({first}): {_RUN_BOOTSTRAP}"
        return Failure(Exit.SCHEMA, "schema", message)
    text = " ".join(str(error).split())  # libpq writes several lines
    for kind, (exit_code, code, advice) in _DATABASE_ADVICE.items():
        if isinstance(error, kind):
            return Failure(exit_code, code, f"{database()}: {text}; {advice}")
    return Failure(Exit.FAILED, "database_refused", f"{database()} refused: {text}")


def _away(error: Unavailable) -> Failure:
    s = settings()
    where = {
        "auth": f"Auth at {s.auth_grpc_url} (MG_AUTH_GRPC_URL)",
        "spicedb": f"SpiceDB at {s.spicedb_host}:{s.spicedb_port} (MG_SPICEDB_*)",
        "domains": "the Domains service (MG_DOMAINS_GRPC_URL)",
    }.get(error.dependency, error.dependency)
    message = (
        f"{where} cannot be used ({error.reason}); nothing was changed that needs it: run the command again when it is"
        " back"
    )
    return Failure(Exit.UNAVAILABLE, f"{error.dependency}_unavailable", message)


def _file(error: OSError) -> Failure:
    name = f"{error.filename}: " if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Failure(Exit.FAILED, "disk_full", f"{name}no space left. Free some, then run the same command again")
    return Failure(Exit.FAILED, "file", f"{name}{error.strerror or error}")


def database() -> str:
    """Return the configured database for a person: name, host, port, role."""
    s = settings()
    return f"database {s.db_name} at {s.db_host}:{s.db_port} as {s.db_user}"
