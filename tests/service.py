"""Call operations in the test's process, with the real PostgreSQL, Auth, NATS and SES endpoint of its session."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from local.parts.auth import AuthServer

ROOT = Path(__file__).parents[1]
T = TypeVar("T")
PASSWORD = "correct horse 7 battery"


@dataclass(frozen=True)
class Answer:
    """The answer of an operation."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> tuple[int, str]:
        """Check the shape that all errors have. Return status and code."""
        body = self.json
        named = {"details"} if self.status in (400, 415) else set()
        assert set(body) == {"message", "error"} | named, body
        assert body["message"]
        assert not named or self.details[0][1] == body["error"], "message and error are those of the first entry"
        return self.status, body["error"]

    @property
    def refusal(self) -> dict[str, str]:
        """Return the members that every error has, without the details."""
        return {name: value for name, value in self.json.items() if name != "details"}

    @property
    def details(self) -> list[tuple[str, str, str]]:
        """Return field, code and message of every rule that the request breaks."""
        details = self.json["details"]
        assert all(list(each) == ["field", "error", "message"] and each["message"] for each in details), details
        assert len(details) == len({tuple(each.values()) for each in details}), "no entry is repeated"
        return [tuple(each.values()) for each in details]


@cache
def handler(operation: str) -> Callable[..., Any]:
    """Return the handler in functions/<operation>/app.py."""
    name = f"functions.{operation}.app"
    spec = importlib.util.spec_from_file_location(name, ROOT / "functions" / operation / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    loaded: Callable[..., Any] = module.lambda_handler
    return loaded


def lambda_context(milliseconds: int = 60_000) -> SimpleNamespace:
    return SimpleNamespace(
        aws_request_id=str(uuid.uuid4()),
        log_stream_name="stream",
        function_name="test",
        get_remaining_time_in_millis=lambda: milliseconds,
    )


def forget() -> None:
    """Make the next call start as in a new execution environment: settings unread, nothing connected."""
    import dependencies
    from users import snapstart
    from users.rules import passwords

    snapstart.forget()
    passwords.password_pattern.cache_clear()
    dependencies.forget()


# The main thread's latest connection, by its conninfo. Starting a server process for each statement of the tests takes
# more time than the statements themselves.
_kept: dict[str, psycopg.Connection[dict[str, Any]]] = {}


def hang_up() -> None:
    """Close the kept connection."""
    while _kept:
        _kept.popitem()[1].close()


def _connect(conninfo: str) -> psycopg.Connection[dict[str, Any]]:
    return psycopg.connect(conninfo, autocommit=True, row_factory=dict_row)


def _execute(connection: psycopg.Connection[dict[str, Any]], statement: str, parameters: Any) -> list[dict[str, Any]]:
    """Run a statement. Return its rows, also rows without columns (``SELECT FROM …``), which have no description."""
    cursor = connection.execute(statement, parameters)
    is_query = cursor.pgresult is not None and cursor.pgresult.status == psycopg.pq.ExecStatus.TUPLES_OK
    return cursor.fetchall() if is_query else []


@dataclass
class Service:
    """The operations, configured by ``environment``."""

    environment: dict[str, str]
    conninfo: str
    auth_environment: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def configured(self, **variables: str) -> Iterator[None]:
        """Set more variables during the block."""
        before = dict(os.environ)
        os.environ.update(self.environment | variables)
        forget()
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            forget()

    def call(
        self,
        operation: str,
        body: Any = None,
        *,
        token: str | None = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        raw: str | None = None,
        user_id: str | None = None,
        method: str | None = None,
        address: str | None = None,
        **event_parts: Any,
    ) -> Answer:
        """Call an operation with its event of events/. The body ``raw`` is sent unchanged.

        ``user_id`` is the ``{id}`` of the path, and ``method`` replaces the HTTP method of the event.
        By default each call comes from a new address, so that no limit per address is reached by accident.
        """
        event = json.loads((ROOT / "events" / f"{operation}.json").read_text())
        event["requestContext"]["http"]["sourceIp"] = f"10.{uuid.uuid4().bytes[0]}.{uuid.uuid4().bytes[1]}.7"
        event["requestContext"]["http"] |= {
            name: value for name, value in (("sourceIp", address), ("method", method)) if value is not None
        }
        if user_id is not None:
            event["pathParameters"] = {"id": user_id}
        sent = {"host": "localhost", "user-agent": "tests", **(headers or {})}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        text = raw if raw is not None else (json.dumps(body) if body is not None else None)
        event.pop("body", None)
        if text is not None:
            sent.setdefault("content-type", "application/json")
            event["body"] = text
        event |= {"headers": sent, "rawQueryString": query, **event_parts}
        response = handler(operation)(event, lambda_context())
        return Answer(response["statusCode"], response["headers"], response.get("body", ""))

    def asking(self, auth: AuthServer, **variables: str) -> "Service":
        """Return the same database with another Auth. The caller must configure it before a call."""
        addresses = {
            "MG_AUTH_GRPC_URL": auth.grpc_url,
            "MG_AUTH_JWKS_URL": auth.jwks_url,
            "MG_SPICEDB_PORT": str(auth.ports.spicedb),
        }
        own = {"MG_AUTH_DB_URL": auth.db_url, "MG_AUTH_KEYS_DIR": str(auth.keys_dir), **variables}
        return Service(self.environment | addresses | variables, self.conninfo, own)

    def deliver(self) -> dict[str, int]:
        """Run the relay once."""
        counts: dict[str, int] = handler("deliver_outbox")({}, lambda_context())
        return counts

    def register(self, **changes: Any) -> dict[str, Any]:
        """Register an account with a unique name. Return the user of the answer, with ``secret``."""
        body = registration(**changes)
        answer = self.call("register_user", body)
        assert answer.status == 201, answer.text
        registered: dict[str, Any] = answer.json
        return {**registered, "secret": body["credentials"]["secret"]}

    def log_in(self, identity: str, secret: str = PASSWORD) -> str:
        """Return an access token."""
        answer = self.call("issue_token", {"identity": identity, "secret": secret})
        assert answer.status == 201, answer.text
        token: str = answer.json["access_token"]
        return token

    def administrator(self) -> tuple[str, str]:
        """Return the id and an access token of a new administrator, made as bootstrap makes its first one."""
        from users.models import Role
        from users.peers import spicedb

        user = self.register()
        self.execute("UPDATE users SET role = 1 WHERE id = %s", user["id"])
        spicedb.grant(user["id"], Role.ADMIN)
        return user["id"], self.log_in(user["email"])

    def execute(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run SQL beside the service. Another thread gets another connection, so that it need not wait."""
        if threading.current_thread() is not threading.main_thread():
            with _connect(self.conninfo) as connection:
                return _execute(connection, statement, parameters)
        if self.conninfo in _kept:
            with suppress(psycopg.OperationalError):  # the server was stopped, or the database dropped
                _kept[self.conninfo].execute("SELECT 1")
        if self.conninfo not in _kept or _kept[self.conninfo].closed:
            hang_up()
            _kept[self.conninfo] = _connect(self.conninfo)
        return _execute(_kept[self.conninfo], statement, parameters)

    def auth_token(self, user_id: str, kind: str) -> str:
        """Return a token that ``local/auth`` makes for a user: refresh, recovery, invitation, access."""
        return self.auth_command("token", user_id, "--type", kind)

    def auth_command(self, *arguments: str) -> str:
        """Run a command of ``local/auth``. Return the last line of its output, or ""."""
        command = [sys.executable, "-m", "local.auth", *arguments]
        environment = {**os.environ, **self.auth_environment}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
        return done.stdout.strip().rpartition("\n")[2]


def eventually(condition: Callable[[], T], seconds: float = 15.0) -> T:
    """Wait until a condition is true, and return its value. Raise AssertionError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition stayed false"
        time.sleep(0.02)
    return value


def registration(**changes: Any) -> dict[str, Any]:
    """Return a valid body for ``register_user``. Each body has new names."""
    name = f"u{uuid.uuid4().hex[:12]}"
    credentials = {"username": name, "secret": PASSWORD} | changes.pop("credentials", {})
    return {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": f"{name}@example.com",
        "credentials": credentials,
        **changes,
    }
