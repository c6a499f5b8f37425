"""What load.py measures: the system of `make run`, and the same API as a monolith, each with the requests for it."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from load_clients import Operation, ask, request
from process_tree import ProcessTree

from layers.build import MACHINES, build
from local.parts.postgres import PostgresServer, free_port

ROOT = Path(__file__).parents[1]
SECRET = "correct horse 7 battery"
ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "an operator chose this"
ACCOUNTS = 64
_READY_SECONDS = 120.0
_PORTS = (
    "MG_USERS_HTTP_PORT",
    "MG_LOCAL_LAMBDA_PORT",
    "MG_AUTH_GRPC_PORT",
    "MG_AUTH_HTTP_PORT",
    "MG_SPICEDB_PORT",
    "MG_LOCAL_NATS_PORT",
    "MG_LOCAL_MAIL_PORT",
    "MG_USERS_GRPC_PORT",
)

# Further accounts, so that lists and searches have something to look through; none of them can log in.
_FILL = """
INSERT INTO users (id, first_name, last_name, tags, email, username, secret, created_at, verified_at)
SELECT md5(n::text)::uuid::text, 'Ada', initcap(substr(md5('last' || n), 1, 8)), ARRAY['device'],
    'filler' || n || '@example.com', 'sensor_' || n, '$argon2id$', timestamptz '2020-01-01' + n * interval '1 minute', now()
FROM generate_series(1, %s) n ON CONFLICT DO NOTHING"""
_FILL_MONOLITH = """
INSERT INTO users (id, first_name, last_name, tags, details, email, username, hashed_password, created_at, is_active,
    is_superuser, is_verified)
SELECT md5(n::text)::uuid, 'Ada', initcap(substr(md5('last' || n), 1, 8)), ARRAY['device'], '{}',
    'filler' || n || '@example.com', 'sensor_' || n, '', timestamptz '2020-01-01' + n * interval '1 minute', true, false, true
FROM generate_series(1, %s) n"""


@dataclass(frozen=True)
class System:
    """A running system: where it listens, its processes, its operations, and the seconds of each one's first request."""

    name: str
    port: int
    tree: ProcessTree
    operations: list[Operation]
    first: dict[str, float]


def _name() -> str:
    return f"john_{uuid.uuid4().hex[:12]}"


def _registration(name: str) -> dict[str, Any]:
    return {
        "first_name": "John",
        "last_name": "Doe",
        "email": f"{name}@example.com",
        "credentials": {"username": name, "secret": SECRET},
    }


class _Caller:
    """Asks a system one thing at a time, and remembers how long the first request of each kind took."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.first: dict[str, float] = {}

    def __call__(self, kind: str, sent: bytes) -> Any:
        answer, seconds = ask(self._port, sent)
        self.first.setdefault(kind, seconds)
        return answer


@contextmanager
def started_system(project: Path, folder: Path) -> Iterator[Path]:
    """The system of `make run` of this or another checkout, on free ports, with new data; its directory of data."""
    local = folder / "local"
    local.mkdir()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_", "PYTHON"))}
    own = {
        **{name: str(free_port()) for name in _PORTS},
        "MG_LOCAL_DIR": str(local),
        "MG_USERS_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "MG_USERS_REGISTRATIONS_PER_HOUR": "0",  # all of them come from one address
    }
    log = folder / "system.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [project / ".venv" / "bin" / "python", "-m", "local", "run"],
            cwd=project,
            env={**inherited, **own, "PYTHONPATH": "layers/common/python:layers/background/python"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _await(process, lambda: "is ready after" in log.read_text(), log)
            yield local
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


@contextmanager
def our_system(local: Path, users: int, password: str = ADMIN_PASSWORD) -> Iterator[System]:
    """The running system whose data lie in `local`, filled with `users` accounts and those that the requests need."""
    pid = int((local / "run.lock").read_text())
    variables = dict(_quoted(line) for line in (local / "environment").read_text().splitlines())
    port = int(variables["MG_USERS_HTTP_PORT"])
    conninfo = {
        "host": variables["MG_USERS_DB_HOST"],
        "port": variables["MG_USERS_DB_PORT"],
        "dbname": variables["MG_USERS_DB_NAME"],
        "user": variables["MG_USERS_DB_OWNER"] or variables["MG_USERS_DB_USER"],
        "password": variables.get("MG_USERS_DB_OWNER_PASS", ""),
    }
    with psycopg.connect(**conninfo, autocommit=True) as connection:
        connection.execute(_FILL, [users])
        connection.execute("ANALYZE users")
    call = _Caller(port)
    admin = {"identity": variables.get("MG_USERS_ADMIN_EMAIL") or ADMIN_EMAIL, "secret": password}
    yield System("users", port, ProcessTree(pid), _our_operations(call, admin), call.first)


def _quoted(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name, value[1:-1].replace("\\'", "'").replace("\\\\", "\\")


def _our_operations(call: _Caller, admin: dict[str, str]) -> list[Operation]:
    issue = "/users/tokens/issue"
    accounts = [_registration(_name()) for _ in range(ACCOUNTS)]
    ids = [call("registration", request("POST", "/users", account))["id"] for account in accounts]
    logins = [request("POST", issue, {"identity": each["email"], "secret": SECRET}) for each in accounts]
    sessions = [call("login, one account", login) for login in logins]
    admin_token = call("login, one account", request("POST", issue, admin))["access_token"]
    tokens = [session["access_token"] for session in sessions]
    refreshing = [session["refresh_token"] for session in sessions]
    counted = itertools.count()

    def change(client: int) -> bytes:
        names = {"first_name": f"Jane{next(counted)}", "last_name": "Roe"}
        return request("PATCH", f"/users/{ids[client]}", names, token=tokens[client])

    def refresh(client: int) -> bytes:
        return request("POST", "/users/tokens/refresh", {}, token=refreshing[client])

    def refreshed(client: int, body: bytes) -> None:
        refreshing[client] = json.loads(body)["refresh_token"]

    found = [
        Operation("login, one account", lambda _: logins[0]),
        Operation(f"login, {ACCOUNTS} accounts", lambda _: logins[next(counted) % ACCOUNTS]),
        Operation("registration", lambda _: request("POST", "/users", _registration(_name()))),
        Operation("own account", lambda client: request("GET", "/users/profile", token=tokens[client])),
        Operation("list of 10", lambda _: request("GET", "/users?limit=10", token=admin_token)),
        Operation("search", lambda client: request("GET", "/users/search?username=sensor_77", token=tokens[client])),
        Operation("name update", change),
        Operation("refresh", refresh, refreshed),
    ]
    for operation in found[3:]:
        ask_once(call, operation)
    return found


def ask_once(call: _Caller, operation: Operation) -> None:
    """Make the first request of an operation."""
    answer = call(operation.name, operation.request(0))
    operation.answered(0, json.dumps(answer).encode())


def _monolith_packages() -> Path:
    """The monolith's packages, built once, as cold_start.py builds them."""
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
    """FastAPI by uvicorn, one worker for each core, on a PostgreSQL of its own that is as durable as `make run`'s."""
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
            _await(process, lambda: _answers(port), log)
            with psycopg.connect(conninfo, autocommit=True) as connection:
                connection.execute(_FILL_MONOLITH, [users])
                connection.execute("ANALYZE users")
            call = _Caller(port)
            operations = _monolith_operations(call, conninfo)
            yield System("monolith", port, ProcessTree(process.pid, server.pid), operations, call.first)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _monolith_operations(call: _Caller, conninfo: str) -> list[Operation]:
    def account() -> dict[str, Any]:
        name = _name()
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


def _await(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"it does not start:\n{log.read_text()}")
        time.sleep(0.1)
