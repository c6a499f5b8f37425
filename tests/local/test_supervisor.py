"""`make run` as a person uses it: started, interrupted, killed, refused, on free ports and data of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from dotenv import dotenv_values

from local import install, ports
from local.parts.launch import ROOT
from local.parts.postgres import temporary_postgres
from local.serving.sockets import free_port
from tests.local.processes import eventually, processes_of

ACCOUNT = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "email": "ada@example.com",
    "credentials": {"username": "adalovelace", "secret": "changeMe123"},
}


class Run:
    """One `python -m local run` on the data in `place`."""

    def __init__(self, place: Path, **variables: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_", "MAKE"))}
        own = {"MG_LOCAL_DIR": str(place), "MG_LOCAL_WORKERS": "1", **dict.fromkeys(ports.DEFAULTS, "0")}
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local", "run"],
            cwd=ROOT,
            env={**inherited, **own, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read_until(self, text: str) -> None:
        """Read its output up to a line with `text`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return
        raise AssertionError(f"it ended without saying {text!r}:\n{self.output}")

    def wait(self) -> int:
        """Read the rest and return the exit code."""
        rest, _ = self.process.communicate(timeout=60)
        self.output += rest
        return self.process.returncode

    @property
    def api(self) -> str:
        found = re.search(r"API +(http\S+)", self.output)
        assert found, self.output
        return found[1]


@contextmanager
def running(place: Path, **variables: str) -> Iterator[Run]:
    run = Run(place, **variables)
    try:
        yield run
    finally:
        run.process.terminate()
        run.wait()


def check_the_port_of_the_database(place: Path) -> None:
    """It admits the roles of the service by their passwords. A well-known password, or none, is refused."""
    environment = dotenv_values(place / "environment")
    at = {"host": "127.0.0.1", "port": environment["MG_USERS_DB_PORT"], "dbname": "users"}
    roles = {
        environment["MG_USERS_DB_USER"]: environment["MG_USERS_DB_PASS"],
        environment["MG_USERS_DB_OWNER"]: environment["MG_USERS_DB_OWNER_PASS"],
    }
    for role, password in roles.items():
        psycopg.connect(**at, user=role, password=password).close()
    for role in (*roles, "postgres", "auth"):
        for password in ("magistrala", "", "postgres"):
            with pytest.raises(psycopg.OperationalError, match=r"no password supplied|password authentication failed"):
                psycopg.connect(**at, user=role, password=password)


def test_it_serves_and_stops_without_a_trace(open_dir: Path) -> None:
    with running(open_dir) as run:
        run.read_until("Ctrl-C stops everything")
        assert httpx.get(f"{run.api}/health").json()["status"] == "pass"
        assert "admin@example.com / 12345678" in run.output
        assert "MG_ALLOW_UNVERIFIED_USER=true" in run.output
        assert str(open_dir / "logs") in run.output
        page = re.search(r"Mail page +(http\S+)", run.output)
        assert page
        assert httpx.get(page[1]).status_code == 200
        check_the_port_of_the_database(open_dir)
        command = [sys.executable, "-m", "users", "user", "set-role", "admin", "admin", "--json"]
        environment = {"MG_LOCAL_DIR": str(open_dir), "PYTHONPATH": str(install.COMMON), "PATH": os.environ["PATH"]}
        done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "the system of `make run`" in done.stderr
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0
    assert run.output.endswith("Everything is stopped.\n")
    assert processes_of(open_dir) == {}
    assert not (open_dir / "environment").exists()


@pytest.mark.long
@pytest.mark.parametrize("killed", ["supervisor", "everything"])
def test_accounts_survive_kill_9_and_the_next_run_recovers_by_itself(open_dir: Path, killed: str) -> None:
    with running(open_dir) as run:
        run.read_until("Ctrl-C stops everything")
        registered = httpx.post(f"{run.api}/users", json=ACCOUNT, timeout=20)
        assert registered.status_code == 201, registered.text
        for pid in processes_of(open_dir) if killed == "everything" else [run.process.pid]:
            os.kill(pid, signal.SIGKILL)
        run.wait()
    same_port = run.api.rsplit(":", 1)[1]
    with running(open_dir, MG_USERS_HTTP_PORT=same_port) as again:  # it waits for the parts of the first run
        again.read_until("Ctrl-C stops everything")
        login = {"identity": "ada@example.com", "secret": "changeMe123"}
        assert httpx.post(f"{again.api}/users/tokens/issue", json=login, timeout=20).status_code == 201
    assert again.process.returncode == 0
    eventually(lambda: processes_of(open_dir) == {})


@pytest.mark.long
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Starting", signal.SIGINT),
        ("postgres is ready", signal.SIGTERM),
        ("auth is ready", signal.SIGINT),
        ("bootstrap", signal.SIGTERM),
    ],
)
def test_interrupted_half_way_it_leaves_nothing(open_dir: Path, moment: str, number: signal.Signals) -> None:
    with running(open_dir) as run:
        run.read_until(moment)
        run.process.send_signal(number)
        assert run.wait() == 0
    assert "Everything is stopped." in run.output
    assert "Traceback" not in run.output
    eventually(lambda: processes_of(open_dir) == {})  # an idle worker ends when its gateway is gone


def test_a_taken_port_is_named_before_anything_starts(open_dir: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
        socket.create_server(("127.0.0.1", 0)) as third,
        running(
            open_dir,
            MG_AUTH_GRPC_PORT=str(first.getsockname()[1]),
            MG_USERS_HTTP_PORT=str(second.getsockname()[1]),
            MG_LOCAL_POSTGRES_PORT=str(third.getsockname()[1]),
        ) as run,
    ):
        assert run.wait() == 1
        assert (
            f"port {first.getsockname()[1]} of 127.0.0.1 is taken: choose another with MG_AUTH_GRPC_PORT" in run.output
        )
        assert (
            f"port {second.getsockname()[1]} of localhost is taken: choose another with MG_USERS_HTTP_PORT"
            in run.output
        )
        assert (
            f"port {third.getsockname()[1]} of 127.0.0.1 is taken: choose another with MG_LOCAL_POSTGRES" in run.output
        )
    assert [path.name for path in open_dir.iterdir()] == ["run.lock"]


@pytest.mark.long
def test_the_port_of_make_grpc_is_checked_too(open_dir: Path) -> None:
    with running(open_dir, MG_USERS_GRPC_PORT="90020", MG_LOCAL_NATS_PORT="x") as run:
        assert run.wait() == 1
        assert "MG_LOCAL_NATS_PORT=x is not a port number" in run.output
    with running(open_dir, MG_USERS_GRPC_PORT="90020") as run:
        assert run.wait() == 1
        assert "MG_USERS_GRPC_PORT" in run.output
    taken = str(free_port())
    with running(open_dir, MG_USERS_GRPC_PORT=taken, MG_LOCAL_MAIL_PORT=taken) as run:
        assert run.wait() == 1
        assert f"MG_LOCAL_MAIL_PORT, MG_USERS_GRPC_PORT are all {taken}\nNothing was started." in run.output
    assert [path.name for path in open_dir.iterdir()] == ["run.lock"]


@pytest.mark.long
def test_the_directory_is_made(open_dir: Path) -> None:
    """Its parents are made too. One that cannot be made is reported before anything starts."""
    place = open_dir / "new" / "place"
    (open_dir / "file").touch()
    with running(place, MG_USERS_DB_HOST="127.0.0.1", MG_USERS_DB_PORT="1") as run:
        assert run.wait() == 1
        assert "FAILED: auth" in run.output
    assert place.stat().st_mode & 0o777 == install.private_mode()
    for wrong, reason in (("file", "is no directory"), ("file/below", "cannot be made: Not a directory")):
        with running(open_dir / wrong) as run:
            assert run.wait() == 1
        assert run.output.startswith(f"MG_LOCAL_DIR={open_dir / wrong} {reason}\n")


@pytest.mark.long
def test_a_second_one_says_that_the_first_runs(open_dir: Path) -> None:
    with running(open_dir) as first:
        first.read_until("Starting")
        with running(open_dir) as second:
            assert second.wait() == 1
            assert f"It runs already, as process {first.process.pid}" in second.output


@pytest.mark.long
def test_a_part_that_fails_is_named_with_its_log(open_dir: Path) -> None:
    (open_dir / "postgres" / "data").mkdir(parents=True)
    with running(open_dir) as run:
        assert run.wait() == 1
    assert "FAILED: postgres ended at start" in run.output
    assert f"The whole log: {open_dir / 'logs' / 'postgres.log'}" in run.output
    assert processes_of(open_dir) == {}


@pytest.mark.long
def test_a_database_that_does_not_answer_is_named(open_dir: Path) -> None:
    with running(open_dir, MG_USERS_DB_HOST="127.0.0.1", MG_USERS_DB_PORT="1") as run:
        assert run.wait() == 1
    assert "FAILED: auth" in run.output
    assert "the database of MG_USERS_DB_HOST, MG_USERS_DB_PORT cannot be used" in run.output
    assert "The whole log: " in run.output
    assert not (open_dir / "postgres").exists()
    assert processes_of(open_dir) == {}


@pytest.mark.long
def test_an_own_database_of_auth_that_does_not_answer_is_named(open_dir: Path) -> None:
    with running(open_dir, MG_AUTH_DB_URL="postgresql://127.0.0.1:1/auth") as run:
        assert run.wait() == 1
    assert "the database of MG_AUTH_DB_URL cannot be used" in run.output


@pytest.mark.long
def test_an_own_database_without_tls_needs_no_ssl_mode(open_dir: Path) -> None:
    with temporary_postgres(port=0) as server:
        server.ensure_role("own", "its password")
        server.ensure_database("accounts", "own")
        own = {"HOST": "127.0.0.1", "PORT": str(server.port), "USER": "own", "PASS": "its password", "NAME": "accounts"}
        with running(open_dir, **{f"MG_USERS_DB_{name}": value for name, value in own.items()}) as run:
            run.read_until("Ctrl-C stops everything")
            assert httpx.get(f"{run.api}/health").json()["status"] == "pass"
    assert not (open_dir / "postgres").exists()
