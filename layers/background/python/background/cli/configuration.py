"""Which installation the commands work on: the MG_* variables, a file of them, or the system of ``make run`` here.

Never by accident: where the variables name a database, no file may name another; where nothing names one, only a
system that runs here is taken, and a command that changes something says which database it talks to.
"""

import os
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[5]
_DATABASE = "MG_USERS_DB_"


def configure(env_file: Path | None, *, local: bool) -> str:
    """Set the process's variables; what to call the installation, "" when the variables alone say it. UsageError."""
    if env_file and local:
        raise click.UsageError("--env-file and --local name two installations: give one.")
    named = any(value for name, value in os.environ.items() if name.startswith(_DATABASE))
    if env_file:
        _read(env_file, override=False)
        return f"by {env_file}"
    if local or not named:
        if named:
            raise click.UsageError(f"--local, but {_DATABASE}* name a database too: unset them, or leave --local out.")
        file = _local_file()
        if not file.exists():
            raise click.UsageError(
                "no database is named: set MG_USERS_DB_HOST and its siblings, or start `make run`."
                if not local
                else f"`make run` does not run here ({file} is missing): start it first."
            )
        _read(file, override=True)
        return "the system of `make run`"
    return ""


def _local_file() -> Path:
    return Path(os.environ.get("MG_LOCAL_DIR") or ROOT / ".local") / "environment"


def _read(file: Path, *, override: bool) -> None:
    """Take the file's variables; those of the process win, save that both may not name a database."""
    from dotenv import dotenv_values

    try:
        values = {name: value for name, value in dotenv_values(file, interpolate=False).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file} cannot be read: {error}") from error
    for name, value in values.items():
        if name.startswith(_DATABASE) and not override and os.environ.get(name, value) != value:
            raise click.UsageError(f"{name} is set, and differs from {file}: unset one of them.")
    if not override and not any(name.startswith(_DATABASE) for name in {*values, *os.environ}):
        raise click.UsageError(f"{file} names no database: it needs {_DATABASE}HOST and its siblings.")
    os.environ.update({name: value for name, value in values.items() if override or name not in os.environ})
