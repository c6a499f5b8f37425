"""The system of `make run` for load.py, and its requests."""

import itertools
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from load_clients import Operation, request
from load_system import ACCOUNTS, Caller, System, ask_once, wait_until_ready
from people import SECRET, registration
from process_tree import ProcessTree

from local.serving.sockets import free_ports

ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "an operator chose this"
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

# More accounts, for lists and searches. None of them can log in.
_FILL = """
INSERT INTO users (id, first_name, last_name, tags, email, username, secret, created_at, verified_at)
SELECT md5(n::text)::uuid::text, 'Ada', initcap(substr(md5('last' || n), 1, 8)), ARRAY['device'],
    'filler' || n || '@example.com', 'sensor_' || n, '$argon2id$', timestamptz '2020-01-01' + n * interval '1 minute', now()
FROM generate_series(1, %s) n ON CONFLICT DO NOTHING"""


@contextmanager
def started_system(project: Path, folder: Path) -> Iterator[Path]:
    """Run the system of this or another checkout, on free ports with new data. Yield its data directory."""
    local = folder / "local"
    local.mkdir()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_", "PYTHON"))}
    own = {
        **{name: str(port) for name, port in zip(_PORTS, free_ports(len(_PORTS)), strict=True)},
        "MG_LOCAL_DIR": str(local),
        "MG_USERS_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "MG_USERS_REGISTRATIONS_PER_HOUR": "0",  # all come from one address
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
            wait_until_ready(process, lambda: "is ready after" in log.read_text(), log)
            yield local
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


@contextmanager
def our_system(local: Path, users: int, password: str = ADMIN_PASSWORD) -> Iterator[System]:
    """Fill the running system of the data directory `local` with `users` accounts, and those of the requests."""
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
    call = Caller(port)
    admin = {"identity": variables.get("MG_USERS_ADMIN_EMAIL") or ADMIN_EMAIL, "secret": password}
    yield System("users", port, ProcessTree(pid), _our_operations(call, admin), call.first)


def _quoted(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name, value[1:-1].replace("\\'", "'").replace("\\\\", "\\")


def _our_operations(call: Caller, admin: dict[str, str]) -> list[Operation]:
    issue = "/users/tokens/issue"
    accounts = [registration() for _ in range(ACCOUNTS)]
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
        Operation("registration", lambda _: request("POST", "/users", registration())),
        Operation("own account", lambda client: request("GET", "/users/profile", token=tokens[client])),
        Operation("list of 10", lambda _: request("GET", "/users?limit=10", token=admin_token)),
        Operation("search", lambda client: request("GET", "/users/search?username=sensor_77", token=tokens[client])),
        Operation("name update", change),
        Operation("refresh", refresh, refreshed),
    ]
    for operation in found[3:]:
        ask_once(call, operation)
    return found
