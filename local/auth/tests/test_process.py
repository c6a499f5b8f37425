"""The process: start, stop, ports, several at once, PostgreSQL away, many callers, logs."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import psycopg
import pytest

from local.auth.database import Database
from local.auth.tests.process import PROJECT_ROOT, claims, environment, new_user, refused, run, update
from local.parts.postgres import PostgresServer, temporary_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.auth.tests.conftest import Starter
    from local.auth.tests.process import AuthProcess


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_within_two_seconds(start_auth: Starter, number: signal.Signals) -> None:
    """The exit code is 0, also with connected clients."""
    auth = start_auth()
    assert auth.jwks().status_code == 200
    auth.process.send_signal(number)
    started = time.monotonic()
    assert auth.process.wait(timeout=10) == 0
    assert time.monotonic() - started < 2
    assert auth.stop() == 0


@pytest.mark.parametrize("variable", ["MG_AUTH_GRPC_PORT", "MG_AUTH_HTTP_PORT", "MG_SPICEDB_PORT"])
def test_taken_port_is_named_with_its_variable(postgres: PostgresServer, tmp_path: Path, variable: str) -> None:
    """The exit code is 1, and stderr names the port and the variable."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        output = run(environment(postgres.conninfo, tmp_path, **{variable: port}), "serve")
    assert output.code == 1
    assert f"port {port}" in output.stderr
    assert variable in output.stderr
    assert "Traceback" not in output.stderr
    assert output.stdout == ""


@pytest.mark.parametrize(
    ("variable", "port"), [("MG_AUTH_GRPC_PORT", "grpc_port"), ("MG_SPICEDB_PORT", "spicedb_port")]
)
def test_port_of_another_instance_is_not_shared(auth: AuthProcess, tmp_path: Path, variable: str, port: str) -> None:
    """By default, gRPC lets two processes share a port."""
    changes = {variable: str(auth.ready[port])}
    output = run(environment(auth.variables["MG_AUTH_DB_URL"], tmp_path, **changes), "serve")
    assert (output.code, variable in output.stderr) == (1, True)


def test_unreachable_database_is_named(tmp_path: Path) -> None:
    """At the start, the exit code is 1, and stderr contains the variable and no traceback."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://postgres@127.0.0.1:{unused.getsockname()[1]}/x"
        output = run(environment(url, tmp_path), "serve")
    assert (output.code, "MG_AUTH_DB_URL" in output.stderr, "Traceback" in output.stderr) == (1, True, False)


def test_four_that_start_at_once_share_database_and_keys(
    start_auth: Starter, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Only one of them makes the schema and the key."""
    url = postgres.create_database(f"auth_{uuid.uuid4().hex}")
    shared = {"MG_AUTH_DB_URL": url, "MG_AUTH_KEYS_DIR": str(tmp_path / "keys")}
    several = [start_auth(ready=False, **shared) for _ in range(4)]
    documents = [auth.wait_ready().jwks().text for auth in several]
    assert len(set(documents)) == 1
    user = new_user()
    several[0].grant(user, "member")
    assert several[1].authenticate(several[2].issue(user).access_token).user_id == user


def test_schema_is_made_once_by_many(postgres: PostgresServer) -> None:
    """IF NOT EXISTS alone fails when several processes create the same table at the same moment."""
    url = postgres.create_database(f"auth_{uuid.uuid4().hex}")
    together = threading.Barrier(8)

    def create(_: int) -> None:
        database = Database(url)
        with database.transaction():
            pass  # it is connected now
        together.wait(timeout=20)
        try:
            database.create_schema()
        finally:
            database.close()

    with ThreadPoolExecutor(8) as starters:
        assert list(starters.map(create, range(8))) == [None] * 8


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL that the test may stop."""
    with temporary_postgres() as server:
        yield server


def test_answers_while_postgresql_is_away_and_recovers(start_auth: Starter, own_postgres: PostgresServer) -> None:
    """Calls that need records fail as upstream. Tokens without records authenticate. Nothing is lost."""
    auth = start_auth(MG_AUTH_DB_URL=own_postgres.conninfo)
    user = new_user()
    auth.grant(user, "member", "administrator")
    tokens = auth.issue(user)
    pat = auth.command("pat", user).stdout.strip()
    own_postgres.stop()
    away = {
        "issue": refused(lambda: auth.issue(user)),
        "refresh": refused(lambda: auth.refresh(tokens.refresh_token)),
        "revoke": refused(lambda: auth.revoke("id", user)),
        "list": refused(lambda: auth.list_refresh_tokens(user)),
        "pat": refused(lambda: auth.authenticate(pat)),
        "access": refused(lambda: auth.authenticate(tokens.access_token)),
        "authorize": refused(lambda: auth.authorize(user)),
        "relations": refused(lambda: auth.write(update("DELETE", user, "member"))),
    }
    own_postgres.start()
    own_postgres.wait_ready()
    internal = grpc.StatusCode.INTERNAL
    assert away == {
        **dict.fromkeys(("issue", "refresh", "revoke", "list", "pat"), internal),
        "access": grpc.StatusCode.OK,
        "authorize": grpc.StatusCode.PERMISSION_DENIED,  # contract §2.3
        "relations": grpc.StatusCode.UNAVAILABLE,
    }
    assert claims(auth.refresh(tokens.refresh_token).access_token)["sub"] == user
    assert auth.authenticate(pat).user_role == 2
    assert auth.authorize(user).authorized


def test_replaces_connections_that_the_server_closed(start_auth: Starter, postgres: PostgresServer) -> None:
    """A call after a restart of PostgreSQL succeeds."""
    name = f"auth_{uuid.uuid4().hex}"
    auth = start_auth(MG_AUTH_DB_URL=postgres.create_database(name))
    user = new_user()
    auth.grant(user, "member")
    for _ in range(3):
        assert auth.issue(user).access_token
        with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name]
            )
    assert len(auth.list_refresh_tokens(user)) == 3


def test_64_callers_at_once(auth: AuthProcess, member: str) -> None:
    """No call fails, and every token is on record."""
    with ThreadPoolExecutor(64) as callers:
        tokens = list(callers.map(lambda _: auth.issue(member).refresh_token, range(256)))
    ids = {claims(token)["jti"] for token in tokens}
    assert len(ids) == 256
    assert {token_id for token_id, _ in auth.list_refresh_tokens(member)} == ids


def test_logs_are_json_without_tokens(start_auth: Starter) -> None:
    """Each line is an object without token, PAT, preshared key or shared secret."""
    auth = start_auth(MG_AUTH_KEYS_ALGORITHM="HS256", MG_AUTH_SECRET_KEY="canary-secret")  # noqa: S106
    user = new_user()
    auth.grant(user, "member")
    tokens = auth.issue(user, description="canary-description")
    pat = auth.command("pat", user).stdout.strip()
    for token in (tokens.access_token, tokens.refresh_token, pat, "canary-garbage"):
        refused(lambda token=token: auth.authenticate(token))  # type: ignore[misc]
        refused(lambda token=token: auth.refresh(token))  # type: ignore[misc]
    refused(lambda: auth.revoke("canary\0", user))
    auth.stop()
    lines = [json.loads(line) for line in auth.log().splitlines()]
    assert {"Issue", "Refresh", "Authenticate"} <= {
        line["method"].rpartition("/")[2] for line in lines if "method" in line
    }
    secrets = [part for token in (tokens.access_token, tokens.refresh_token) for part in token.split(".")[1:]]
    for secret in (*secrets, pat[-100:], "canary", auth.variables["MG_SPICEDB_PRE_SHARED_KEY"]):
        assert secret not in auth.log()


def test_only_its_own_modules_are_loaded() -> None:
    """It stands for another service, so it loads no module of the layers, and no module that slows the start."""
    code = "import sys, local.auth.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    assert not {"users", "boto3", "botocore", "pydantic", "aws_lambda_powertools"} & set(done.stdout.split())
