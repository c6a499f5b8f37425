"""Which installation the commands work on, and their messages when they cannot use it."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from background.cli.application import cli
from background.cli.configuration import configure
from local.environment_file import write_environment
from local.parts.postgres import PostgresServer
from local.serving.sockets import free_port
from tests.cli.command_line import CommandLine
from tests.conftest import database_variables
from tests.service import Service

ODD = 'it\'s a \\ "test" #1 $HOME `x`'


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Path]:
    """Unset the variables that name an installation, and set MG_LOCAL_DIR to an empty folder."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("MG_", "AWS_"))]:
        del os.environ[name]
    os.environ["MG_LOCAL_DIR"] = str(tmp_path)
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


def test_every_command_helps() -> None:
    found = list(commands(cli))
    assert len(found) > 10
    for path, command in found:
        text = command.get_help(click.Context(command, info_name=" ".join(path)))
        assert f"python -m users {' '.join(path)}" in text.replace("--env-file production.env ", "")
        assert "Exit codes:" in text
        assert "--json" in text


def test_nothing_named_is_refused(bare: Path) -> None:
    with pytest.raises(click.UsageError, match="no database is named"):
        configure(None, local=False)
    with pytest.raises(click.UsageError, match="make run"):
        configure(None, local=True)


def test_the_local_system_is_taken_where_nothing_names_another(bare: Path) -> None:
    write_environment(
        bare / "environment",
        {"MG_USERS_DB_HOST": "/socket", "MG_USERS_SECRET_KEY": ODD, "PATH": "x", "AWS_SECRET_ACCESS_KEY": "real"},
    )
    assert (bare / "environment").stat().st_mode & 0o777 == 0o600
    assert "make run" in configure(None, local=False)
    assert os.environ["MG_USERS_DB_HOST"] == "/socket"
    assert os.environ["MG_USERS_SECRET_KEY"] == ODD
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "local"
    assert os.environ["PATH"] != "x"


def test_variables_that_name_a_database_win_over_the_local_system(bare: Path) -> None:
    write_environment(bare / "environment", {"MG_USERS_DB_HOST": "/socket"})
    os.environ["MG_USERS_DB_HOST"] = "production"
    assert configure(None, local=False) == ""
    assert os.environ["MG_USERS_DB_HOST"] == "production"
    with pytest.raises(click.UsageError, match="--local, but"):
        configure(None, local=True)


def test_a_file_may_not_contradict_the_variables(bare: Path) -> None:
    file = bare / "production.env"
    file.write_text("export MG_USERS_DB_HOST=production\nMG_USERS_DB_PASS='a b'\nMG_USERS_LOG_LEVEL=debug\n")
    os.environ |= {"MG_USERS_LOG_LEVEL": "error", "MG_USERS_DB_HOST": "staging"}
    with pytest.raises(click.UsageError, match="MG_USERS_DB_HOST is set, and differs"):
        configure(file, local=False)
    del os.environ["MG_USERS_DB_HOST"]
    configure(file, local=False)
    assert (os.environ["MG_USERS_DB_HOST"], os.environ["MG_USERS_DB_PASS"]) == ("production", "a b")
    assert os.environ["MG_USERS_LOG_LEVEL"] == "error"


def test_a_file_without_a_database_is_refused(bare: Path) -> None:
    file = bare / "empty.env"
    file.write_text("MG_USERS_LOG_LEVEL=debug\n")
    with pytest.raises(click.UsageError, match="names no database"):
        configure(file, local=False)


# --- unusable installations


def test_an_unreachable_database(service: Service, tmp_path: Path) -> None:
    line = CommandLine.of(service, tmp_path, MG_USERS_DB_HOST="127.0.0.1", MG_USERS_DB_PORT=str(free_port()))
    code, error, message = line.run("user", "show", "somebody", "--json").failure
    assert (code, error) == (3, "database_unavailable")
    assert "MG_USERS_DB_" in message
    assert "\n" not in message


@pytest.mark.parametrize("command", [["outbox", "list"], pytest.param(["import", "-"], marks=pytest.mark.long)])
def test_a_database_without_tables(
    service: Service, postgres: PostgresServer, tmp_path: Path, command: list[str], request: pytest.FixtureRequest
) -> None:
    name = f"empty_{abs(hash(request.node.nodeid)):x}"
    postgres.create_database(name)
    line = CommandLine.of(service, tmp_path, **database_variables(postgres, name))
    text = '{"first_name":"A","last_name":"B","email":"a@example.com","credentials":{"username":"a"}}\n'
    done = line.run(*command, input=text)
    assert done.code == 4
    assert "python -m users bootstrap" in done.err


def test_a_setting_that_cannot_be_understood(service: Service, tmp_path: Path) -> None:
    done = CommandLine.of(service, tmp_path, MG_USERS_DELETE_AFTER="tomorrow").run("sweep", "--dry-run")
    assert done.code == 2
    assert "MG_USERS_DELETE_AFTER" in done.err


def test_bootstrap_tells_what_it_did_and_may_be_repeated(
    service: Service, postgres: PostgresServer, tmp_path: Path
) -> None:
    postgres.create_database("cli_bootstrap")
    line = CommandLine.of(service, tmp_path, MG_USERS_DB_NAME="cli_bootstrap")
    first, second = line.run("bootstrap", "--json"), line.run("bootstrap", "--json")
    assert (first.code, second.code) == (0, 0), first.err
    assert first.json["administrator"] == "made the administrator"
    assert "database cli_bootstrap at" in first.err  # a command that changes something names the database
    assert second.json["schema"] == first.json["schema"]
