"""CPU of a request, in the function's process and in its PostgreSQL backend, with and without prepared statements.

    make benchmark        or: python benchmarks/cpu.py [--calls 300] [--users 3000], with the layers in PYTHONPATH

The operations' handlers run in this process, against a real PostgreSQL and a real Auth. The figures contain nothing of
the gateway and the relay. Each round runs all operations in both ways, so that a busy machine changes all figures alike.
Logins use 64 accounts in turn. The CPU of Auth does not count.
"""

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psycopg
from people import ROOT, SECRET, Event, registration
from search import ROWS

from local.parts.auth import AuthServer
from local.parts.postgres import PostgresServer, temporary_postgres

ACCOUNTS = 64
_ROUND = 100  # calls of one operation in a round
_WARM_UP = 12  # PostgreSQL chooses a generic plan after five executions of a prepared statement


@dataclass
class Figures:
    """The calls of one operation, and their CPU seconds in this process and in its backend."""

    calls: int = 0
    function: float = 0.0
    backend: float = 0.0

    def per_call(self) -> tuple[float, float]:
        """Return the milliseconds of a call in the function and in the backend."""
        return self.function / self.calls * 1000, self.backend / self.calls * 1000


@dataclass
class Bench:
    """The handlers, and accounts for their requests."""

    handlers: dict[str, Callable[[Event, object], Event]]
    accounts: list[dict[str, str]] = field(default_factory=list)
    turn: Iterator[int] = field(default_factory=itertools.count)

    def call(self, operation: str, event: Event) -> Any:
        """Call an operation. Raise RuntimeError if the answer is no success."""
        answer = self.handlers[operation](event, SimpleNamespace())
        if answer["statusCode"] >= 300:
            raise RuntimeError(f"{operation} answers {answer}")
        return json.loads(answer["body"])

    def event(self, operation: str) -> Event:
        """Return a request that succeeds."""
        event: Event = json.loads((ROOT / "events" / f"{operation}.json").read_text())
        account = self.accounts[next(self.turn) % len(self.accounts)] if self.accounts else {}
        if operation == "list_users":
            account = self.accounts[0]
            event["rawQueryString"] = "limit=10"
        if operation == "register_user":
            event["body"] = json.dumps(registration())
        elif operation == "issue_token":
            event["body"] = json.dumps({"identity": account["email"], "secret": SECRET})
        else:
            kind = "refresh_token" if operation == "refresh_token" else "access_token"
            event["headers"]["authorization"] = f"Bearer {account[kind]}"
        if operation == "update_user":
            event["pathParameters"] = {"id": account["id"]}
            event["body"] = json.dumps({"first_name": "Jane", "last_name": f"Doe {uuid.uuid4().hex[:6]}"})
        return event

    def settle(self, count: int) -> None:
        """Make accounts, and log each one in."""
        for _ in range(count):
            body = registration()
            event = self.event("register_user") | {"body": json.dumps(body)}
            account = {"id": self.call("register_user", event)["id"], "email": body["email"]}
            event = self.event("issue_token") if self.accounts else json.loads(_event("issue_token"))
            event["body"] = json.dumps({"identity": body["email"], "secret": SECRET})
            self.accounts.append(account | self.call("issue_token", event))


OPERATIONS = ("issue_token", "register_user", "view_profile", "list_users", "update_user", "refresh_token")


def _event(operation: str) -> str:
    return (ROOT / "events" / f"{operation}.json").read_text()


def _handler(operation: str) -> Callable[[Event, object], Event]:
    spec = importlib.util.spec_from_file_location(f"{operation}_app", ROOT / "functions" / operation / "app.py")
    if spec is None or spec.loader is None:
        raise RuntimeError(f"there is no function {operation}")
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Callable[[Event, object], Event] = module.lambda_handler
    return handler


def backend_seconds() -> float:
    """Return the CPU seconds of this connection's PostgreSQL process. The kernel's scheduler counts nanoseconds."""
    from users.repository import database

    connection = database._connection
    if connection is None:
        return 0.0
    return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def measure(bench: Bench, operation: str, figures: Figures, calls: int) -> None:
    """Add some calls of an operation to its figures. They do not contain the time that makes the events."""
    events = [bench.event(operation) for _ in range(calls)]
    backend, function = backend_seconds(), time.process_time()
    for event in events:
        bench.call(operation, event)
    figures.function += time.process_time() - function
    figures.backend += backend_seconds() - backend
    figures.calls += calls


def _table(figures: dict[tuple[str, bool], Figures]) -> None:
    lines = [
        f"{'CPU ms a request':18}{'unprepared':^24}{'prepared':^24}",
        f"{'':18}" + f"{'function':>9}{'backend':>8}{'sum':>7}" * 2 + f"{'ratio':>7}",
    ]
    for operation in OPERATIONS:
        line, sums = f"{operation:18}", []
        for prepared in (False, True):
            function, backend = figures[operation, prepared].per_call()
            sums.append(function + backend)
            line += f"{function:9.2f}{backend:8.2f}{sums[-1]:7.2f}"
        lines.append(f"{line}{sums[1] / sums[0]:7.2f}")
    print(*lines, sep="\n", file=sys.__stdout__)


@contextlib.contextmanager
def _surroundings(server: PostgresServer, users: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        auth = AuthServer(server.create_database("auth"), Path(folder) / "keys")
        auth.start()
        auth.wait_ready()
        conninfo = server.create_database("users")
        os.environ |= {
            "MG_USERS_DB_HOST": server.host,
            "MG_USERS_DB_PORT": str(server.port),
            "MG_USERS_DB_USER": "postgres",
            "MG_USERS_DB_NAME": "users",
            "MG_AUTH_GRPC_URL": auth.grpc_url,
            "MG_AUTH_JWKS_URL": auth.jwks_url,
            "MG_SPICEDB_HOST": "127.0.0.1",
            "MG_SPICEDB_PORT": str(auth.ports.spicedb),
            "MG_USERS_SECRET_KEY": "0123456789abcdef0123456789abcdef",
            "MG_USERS_REGISTRATIONS_PER_HOUR": "1000000",
            "MG_ALLOW_UNVERIFIED_USER": "true",
        }
        from background.setup.schema import migrate

        migrate()
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute(ROWS, {"users": users})
        try:
            yield
        finally:
            auth.stop()


def main() -> None:
    """Make accounts, run every operation in both ways, print a table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--calls", type=int, default=300)
    arguments.add_argument("--users", type=int, default=3000)
    options = arguments.parse_args()
    with (
        Path(os.devnull).open("w") as logs,  # as dear to write to as Lambda's pipe, and not to be read
        contextlib.redirect_stdout(logs),
        temporary_postgres() as server,
        _surroundings(server, options.users),
    ):
        from users.repository import database
        from users.repository.statements import Statement

        bench = Bench({operation: _handler(operation) for operation in OPERATIONS})
        bench.settle(ACCOUNTS)
        make_administrator = Statement("make_administrator", "UPDATE users SET role = 1 WHERE id = %(id)s")
        database.query(make_administrator, {"id": bench.accounts[0]["id"]}, read_only=False)
        with psycopg.connect(
            f"host={server.host} port={server.port} user=postgres dbname=users", autocommit=True
        ) as tidy:
            tidy.execute("SET statement_timeout = 0")
            tidy.execute("VACUUM ANALYZE")  # as autovacuum does in a database that lives
        figures = {(operation, prepared): Figures() for operation in OPERATIONS for prepared in (False, True)}
        threshold = database.PREPARE_AFTER
        for start in range(0, options.calls, _ROUND):
            for operation in OPERATIONS:
                for prepared in (False, True):
                    database.close()
                    database.PREPARE_AFTER = threshold if prepared else None
                    measure(bench, operation, Figures(), _WARM_UP)
                    measure(bench, operation, figures[operation, prepared], min(_ROUND, options.calls - start))
        _table(figures)


if __name__ == "__main__":
    main()
