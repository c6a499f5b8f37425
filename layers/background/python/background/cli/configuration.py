"""The installation that a command works on: from MG_* variables, from a file, or the system of ``make run``.

Nobody shall change an installation by accident. If the variables name a database, no file may name another one. If
nothing names a database, the command works only on a system that runs on this machine. A command that changes something
prints the name of its database.
"""

import os
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[5]
_DATABASE = "MG_USERS_DB_"


def configure(env_file: Path | None, *, local: bool) -> str:
    """Set the process's variables, and return a name for the installation, or "" if only variables name it.

    Raise UsageError if the options and variables contradict each other, or name no installation.
    """
    if env_file and local:
        raise click.UsageError("--env-file and --local name two installations: use only one of them.")
    named = any(value for name, value in os.environ.items() if name.startswith(_DATABASE))
    if env_file:
        _read(env_file, override=False)
        return f"by {env_file}"
    if local or not named:
        if named:
            raise click.UsageError(f"--local, but {_DATABASE}* name a database, too: unset them, or leave --local out.")
        file = _local_file()
        if not file.exists():
            raise click.UsageError(
                "no database is named: set MG_USERS_DB_HOST and the other MG_USERS_DB_*, or start `make run`."
                if not local
                else f"`make run` does not run on this machine ({file} is missing): start it first."
            )
        _read(file, override=True)
        return "the system of `make run`"
    return ""


def _local_file() -> Path:
    return Path(os.environ.get("MG_LOCAL_DIR") or ROOT / ".local") / "environment"


def _read(file: Path, *, override: bool) -> None:
    """Set the file's variables. The process's variables take precedence, but must not name another database."""
    from dotenv import dotenv_values

    try:
        values = {name: value for name, value in dotenv_values(file, interpolate=False).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file} cannot be read: {error}") from error
    for name, value in values.items():
        if name.startswith(_DATABASE) and not override and os.environ.get(name, value) != value:
            raise click.UsageError(f"{name} is set, and differs from {file}: remove one of the values.")
    if not override and not any(name.startswith(_DATABASE) for name in {*values, *os.environ}):
        raise click.UsageError(f"{file} names no database: add {_DATABASE}HOST and the other {_DATABASE}*.")
    os.environ.update({name: value for name, value in values.items() if override or name not in os.environ})
