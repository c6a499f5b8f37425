"""The monolith for load.py, and its requests."""

import itertools
import os
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from load_clients import Operation, ask, request
from load_system import ACCOUNTS, Caller, System, ask_once, wait_until_ready
from people import ROOT, SECRET, new_name
from process_tree import ProcessTree

from layers.build import MACHINES, build
from local.parts.postgres import PostgresServer
from local.serving.sockets import free_port

_FILL_MONOLITH = """
INSERT INTO users (id, first_name, last_name, tags, details, email, username, hashed_password, created_at, is_active,
    is_superuser, is_verified)
SELECT md5(n::text)::uuid, 'Ada', initcap(substr(md5('last' || n), 1, 8)), ARRAY['device'], '{}',
    'filler' || n || '@example.com', 'sensor_' || n, '', timestamptz '2020-01-01' + n * interval '1 minute', true, false, true
FROM generate_series(1, %s) n"""


def _monolith_packages() -> Path:
    """Build the monolith's packages once, in the way of cold_start.py, and return their directory."""
    folder = ROOT / ".local" / "benchmarks" / "monolith"
    mark = folder / "requirements.txt"
    wanted = (ROOT / "benchmarks" / "monolith" / "requirements.txt").read_text()
    if not mark.exists() or mark.read_text() != wanted:
        architecture = next(name for name, machine in MACHINES.items() if machine == os.uname().machine)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        build(ROOT / "benchmarks" / "monolith", folder, architecture, version)
        mark.write_text(wanted)
    return folder / "python"


@contextmanager
def monolith(folder: Path, users: int) -> Iterator[System]:
    """Run FastAPI by uvicorn, one worker for each core, with its own PostgreSQL, as durable as that of `make run`."""
    packages = _monolith_packages()
    port = free_port()
    log = folder / "monolith.log"
    with PostgresServer(folder / "monolith" / "data", log=folder / "monolith-postgres.log") as server:
        conninfo = server.create_database("monolith")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            "DATABASE_URL": f"postgresql+asyncpg://postgres@/monolith?host={server.host}&port={server.port}",
            "SECRET": "0123456789abcdef0123456789abcdef",
            "PYTHONPATH": f"{packages}{os.pathsep}{ROOT / 'benchmarks' / 'monolith'}",
        }
        make = "import asyncio, app; asyncio.run(app.create_tables())"
        subprocess.run([sys.executable, "-c", make], env=environment, check=True)
        command = ["-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
        workers = ["--workers", str(os.cpu_count() or 1), "--log-level", "warning"]
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, *command, *workers], env=environment, stdout=output, stderr=output
            )
        try:
            wait_until_ready(process, lambda: _answers(port), log)
            with psycopg.connect(conninfo, autocommit=True) as connection:
                connection.execute(_FILL_MONOLITH, [users])
                connection.execute("ANALYZE users")
            call = Caller(port)
            operations = _monolith_operations(call, conninfo)
            yield System("monolith", port, ProcessTree(process.pid, server.pid), operations, call.first)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _monolith_operations(call: Caller, conninfo: str) -> list[Operation]:
    def account() -> dict[str, Any]:
        name = new_name()
        return {
            "first_name": "John",
            "last_name": "Doe",
            "email": f"{name}@example.com",
            "username": name,
            "password": SECRET,
        }

    accounts = [account() for _ in range(ACCOUNTS)]
    for each in accounts:
        call("registration", request("POST", "/auth/register", each))
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("UPDATE users SET is_superuser = true WHERE email = %s", [accounts[0]["email"]])
    logins = [
        request("POST", "/auth/jwt/login", form=urllib.parse.urlencode({"username": each["email"], "password": SECRET}))
        for each in accounts
    ]
    tokens = [call("login, one account", login)["access_token"] for login in logins]
    counted = itertools.count()

    def change(client: int) -> bytes:
        return request("PATCH", "/users/me", {"first_name": f"Jane{next(counted)}"}, token=tokens[client])

    found = [
        Operation("login, one account", lambda _: logins[0]),
        Operation(f"login, {ACCOUNTS} accounts", lambda _: logins[next(counted) % ACCOUNTS]),
        Operation("registration", lambda _: request("POST", "/auth/register", account())),
        Operation("own account", lambda client: request("GET", "/users/me", token=tokens[client])),
        Operation("list of 10", lambda _: request("GET", "/users?limit=10", token=tokens[0])),
        Operation("search", lambda client: request("GET", "/users/search?username=sensor_77", token=tokens[client])),
        Operation("name update", change),
    ]
    for operation in found[3:]:
        ask_once(call, operation)
    return found


def _answers(port: int) -> bool:
    try:
        ask(port, request("GET", "/health"))
    except OSError:
        return False
    return True
