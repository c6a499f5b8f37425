"""Cold starts: every function beside a bare handler and the same API as a monolith, in one run.

    make cold-start        or: python benchmarks/cold_start.py [--runs 7] [operation ...], with the layers in PYTHONPATH

A start is a new process of Lambda's Runtime Interface Emulator with awslambdaric, from the process to the first answer,
with real PostgreSQL, Auth, SpiceDB calls and NATS beside it, so that the answer is a real one: somebody registers, logs
in, reads, changes. The code is what `sam build` makes for this machine's architecture, for Python 3.13 where this
machine has it, else for the Python that runs this; the monolith's packages are built in the same way, bytecode included,
and nothing else runs beside the one that starts. Rounds go through all of them in turn; figures are medians.

Each function is compared with the monolith's request of its kind. Targets: half of its time, a third for reads. Those
whose ordinary call asks or tells SpiceDB, where it is configured, are measured with it as well.
"""

import argparse
import base64
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg
from emulator import Code, Emulator
from loopback_server import serving

from layers.build import LAMBDA_PYTHON, MACHINES, build
from layers.bytecode import interpreter
from local.parts.auth import AuthServer
from local.parts.nats import NatsServer
from local.parts.postgres import PostgresServer, temporary_postgres

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
SECRET = "correct horse 7 battery"
Event = dict[str, Any]

_BARE = "def lambda_handler(event, context):\n    return {'statusCode': 200, 'body': '{}'}\n"
READS = {
    "view_profile",
    "view_user",
    "list_users",
    "search_users",
    "list_refresh_tokens",
    "health",
    "openapi",
    "docs",
    "password_policy",
}
# The monolith's request that each function is held against; a change of an account for those that are not here.
KINDS = {
    "register_user": "register",
    "issue_token": "login",
    "refresh_token": "login",
    "list_users": "list",
    "search_users": "search",
    "health": "health",
    "openapi": "health",
    "password_policy": "health",
    "docs": "health",
    **dict.fromkeys(("view_profile", "view_user", "list_refresh_tokens"), "profile"),
}
_SPICEDB = " + SpiceDB"  # behind a function's name
USES_SPICEDB = {
    "register_user",
    "list_users",
    "health",
    "update_user_role",
    "enable_user",
    "disable_user",
    "delete_user",
}


@dataclass
class Figures:
    """What the starts of one function took: seconds, seconds, MiB."""

    start: list[float] = field(default_factory=list)
    importing: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Subject:
    """What is measured: ``event`` makes a new request for each start, ``bad`` says what is wrong with an answer."""

    code: Code
    event: Callable[[], Event]

    def measure(self, figures: Figures) -> None:
        """Start it once; RuntimeError for an answer that is none."""
        event = self.event()
        with Emulator(self.code) as emulator:
            emulator.succeed(event)
            figures.start.append(perf_counter() - emulator.started)
            figures.memory.append(emulator.peak_memory())
        figures.importing.append(self.code.import_seconds())


class People:
    """Accounts of the measured service, made by its own functions, each for one start."""

    def __init__(self, register: Emulator, log_in: Emulator, conninfo: str) -> None:
        self._register, self._log_in = register, log_in
        self._connection = psycopg.connect(conninfo, autocommit=True)

    def event(self, operation: str) -> Event:
        """A request that the operation answers with a success; a change wakes the relay, because no run is expected."""
        event = self._event(operation)
        self._connection.execute("UPDATE users_relay SET run_id = NULL, looks_until = '-infinity'")
        return event

    def _event(self, operation: str) -> Event:
        event: Event = json.loads((ROOT / "events" / f"{operation}.json").read_text())
        if operation == "deliver_outbox":  # it delivers the event of one change, and does not wait for more
            self._connection.execute("DELETE FROM users_outbox")
            self._call(self._register, "register_user", _registration())
        if "routeKey" not in event or operation in {"health", "openapi", "docs", "password_policy"}:
            return event
        if operation == "register_user":
            return event | {"body": json.dumps(_registration())}
        person = self._somebody(admin=operation in {"list_users", "enable_user", "disable_user", "update_user_role"})
        if "authorization" in event["headers"]:
            kind = "refresh_token" if operation == "refresh_token" else "access_token"
            event["headers"]["authorization"] = f"Bearer {person[kind]}"
        event["pathParameters"] = {"id": self._target(operation, person["id"])}
        if body := self._body(operation, person):
            event["body"] = json.dumps(body)
        if operation == "verify_email":
            event["rawQueryString"] = f"token={self._token(person, 'verification')}"
        return event

    def _somebody(self, *, admin: bool) -> dict[str, str]:
        account = _registration()
        answer = self._call(self._register, "register_user", account)
        if admin:
            self._connection.execute("UPDATE users SET role = 1 WHERE id = %s", [answer["id"]])
            from users.models import Role
            from users.peers import spicedb

            spicedb.grant(answer["id"], Role.ADMIN)
        login = {"identity": account["email"], "secret": SECRET}
        return {"id": answer["id"], "email": account["email"], **self._call(self._log_in, "issue_token", login)}

    def _call(self, emulator: Emulator, operation: str, body: object) -> dict[str, str]:
        event = json.loads((ROOT / "events" / f"{operation}.json").read_text())
        answer = emulator.invoke(event | {"body": json.dumps(body)})
        if answer.get("statusCode") != 201:
            raise RuntimeError(f"{operation} answers {answer}")
        answered: dict[str, str] = json.loads(answer["body"])
        return answered

    def _target(self, operation: str, person: str) -> str:
        """Whose account the request is about."""
        if operation in {"enable_user", "disable_user", "update_user_role", "view_user"}:
            target: str = self._call(self._register, "register_user", _registration())["id"]
            if operation == "enable_user":
                self._connection.execute("UPDATE users SET status = 1 WHERE id = %s", [target])
            return target
        return person

    def _body(self, operation: str, person: Mapping[str, str]) -> object:
        """The body where the event's own would not do."""
        name = _name()
        if operation == "reset_password":
            secret = "a new horse 8 battery"
            return {
                "token": self._token(person, "password_reset"),
                "password": secret,
                "confirm_password": secret,
            }
        bodies: dict[str, object] = {
            "issue_token": {"identity": person["email"], "secret": SECRET},
            "request_password_reset": {"email": person["email"]},
            "revoke_refresh_token": {"token_id": _claims(person["refresh_token"])["jti"]},
            "update_user_email": {"email": f"{name}@example.com"},
            "update_username": {"username": name},
            "update_user_secret": {"old_secret": SECRET, "new_secret": "a new horse 8 battery"},
        }
        return bodies.get(operation)

    def _token(self, person: Mapping[str, str], purpose: str) -> str:
        """A token as the mail of that purpose would carry it."""
        prefix = {"verification": "mgverify_", "password_reset": "mgreset_"}[purpose]
        token = prefix + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        self._connection.execute(
            "INSERT INTO users_one_time_tokens (digest, user_id, purpose, email, expires_at)"
            " VALUES (%s, %s, %s, %s, now() + interval '1 hour')",
            [sha256(token.encode()).digest(), person["id"], purpose, person["email"]],
        )
        return token


class Monolith:
    """The monolith's requests, by their kind."""

    def __init__(self, code: Code, conninfo: str) -> None:
        self._connection = psycopg.connect(conninfo, autocommit=True)
        self._emulator = Emulator(code)

    def close(self) -> None:
        """End the environment that makes its accounts."""
        self._emulator.__exit__()

    def event(self, kind: str) -> Event:
        """A request that it answers with a success."""
        account = {**_registration(), "username": _name(), "password": SECRET}
        if kind == "register":
            return _request("POST", "/auth/register", account)
        if kind == "health":
            return _request("GET", "/health")
        self._call(_request("POST", "/auth/register", account))
        self._connection.execute("UPDATE users SET is_superuser = true WHERE email = %s", [account["email"]])
        form = f"username={account['email'].replace('@', '%40')}&password={SECRET.replace(' ', '+')}"
        login = _request("POST", "/auth/jwt/login") | {"body": form}
        login["headers"] = {"content-type": "application/x-www-form-urlencoded"}
        if kind == "login":
            return login
        token = json.loads(self._call(login)["body"])["access_token"]
        return {
            "profile": _request("GET", "/users/me", token=token),
            "list": _request("GET", "/users", token=token, query="limit=10"),
            "search": _request("GET", "/users/search", token=token, query="username=john"),
            "change": _request("PATCH", "/users/me", {"first_name": "Jane"}, token=token),
        }[kind]

    def _call(self, event: Event) -> Any:
        answer = self._emulator.invoke(event)
        if answer.get("statusCode", 500) >= 300:
            raise RuntimeError(f"the monolith answers {answer}")
        return answer


def _request(method: str, path: str, body: object = None, *, token: str = "", query: str = "") -> Event:
    """An event for the monolith."""
    event: Event = json.loads((ROOT / "events" / "view_profile.json").read_text())
    event |= {"rawPath": path, "rawQueryString": query, "routeKey": "$default"}
    event["requestContext"]["http"] |= {"method": method, "path": path}
    event["headers"] = {"authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        event["headers"]["content-type"] = "application/json"
        event["body"] = json.dumps(body)
    return event


def _name() -> str:
    return f"john_{uuid.uuid4().hex[:12]}"


def _registration() -> dict[str, Any]:
    name = _name()
    return {
        "first_name": "John",
        "last_name": "Doe",
        "email": f"{name}@example.com",
        "credentials": {"username": name, "secret": SECRET},
    }


def _claims(token: str) -> Any:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@contextmanager
def _lambda_api() -> Iterator[str]:
    """What mutations wake the relay by: an endpoint that takes every asynchronous Invoke."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Take it."""
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(Handler) as url:
        yield url


@contextmanager
def surroundings(server: PostgresServer, folder: Path) -> Iterator[dict[str, str]]:
    """Auth with its SpiceDB calls, NATS, and a migrated database; the variables that name them."""
    auth = AuthServer(server.create_database("auth"), folder / "keys")
    nats = NatsServer(folder / "nats")
    with _lambda_api() as lambda_url:
        try:
            for part in (auth, nats):
                part.start()
                part.wait_ready()
            variables = {
                "AWS_ENDPOINT_URL_LAMBDA": lambda_url,
                "AWS_SAM_LOCAL": "true",
                "OUTBOX_FUNCTION": "deliver_outbox",
                "MG_USERS_DB_HOST": server.host,
                "MG_USERS_DB_PORT": str(server.port),
                "MG_USERS_DB_USER": "postgres",
                "MG_USERS_DB_NAME": "users",
                "MG_AUTH_GRPC_URL": auth.grpc_url,
                "MG_AUTH_JWKS_URL": auth.jwks_url,
                "MG_SPICEDB_HOST": "127.0.0.1",
                "MG_SPICEDB_PORT": str(auth.ports.spicedb),
                "MG_USERS_ES_URL": nats.url,
                "MG_USERS_SECRET_KEY": "0123456789abcdef0123456789abcdef",
                "MG_USERS_ADMIN_PASSWORD": "an operator chose this",
                "MG_USERS_REGISTRATIONS_PER_HOUR": "0",
                "MG_USERS_VERIFY_ON_REGISTER": "false",
                "MG_ALLOW_UNVERIFIED_USER": "true",
            }
            server.create_database("users")
            os.environ |= variables | {"MG_USERS_LOG_LEVEL": "warn"}  # here, not in the functions
            from background.setup.schema import migrate

            migrate()
            yield variables
        finally:
            nats.stop()
            auth.stop()


@dataclass(frozen=True)
class Builds:
    """What was built: the interpreter, and the folders that take the place of /opt and of the functions' own."""

    python: Path
    opt: Path
    monolith: Path
    runtime: Path
    tasks: Path

    @classmethod
    def make(cls, folder: Path) -> "Builds":
        """Build the layers, the monolith's packages and the runtime's by what `sam build` runs."""
        python = interpreter(LAMBDA_PYTHON)
        version = LAMBDA_PYTHON if python else f"{sys.version_info.major}.{sys.version_info.minor}"
        architecture = next(name for name, machine in MACHINES.items() if machine == platform.machine())
        for name in ("dependencies", "common", "background"):
            build(ROOT / "layers" / name, folder / name, architecture, version)
            shutil.copytree(folder / name, folder / "opt", dirs_exist_ok=True)  # as Lambda unpacks them
        for name in ("monolith", "runtime"):
            build(HERE / name, folder / name, architecture, version)
        tasks = folder / "tasks"
        shutil.copytree(ROOT / "functions", tasks, ignore=shutil.ignore_patterns("__pycache__"))
        (tasks / "monolith").mkdir()
        shutil.copy(HERE / "monolith" / "app.py", tasks / "monolith")
        (tasks / "bare").mkdir()
        (tasks / "bare" / "app.py").write_text(_BARE)
        return cls(python or Path(sys.executable), folder / "opt", folder / "monolith", folder / "runtime", tasks)

    def code(self, name: str, variables: Mapping[str, str]) -> Code:
        """A function's, the monolith's or the bare handler's."""
        packages = [self.monolith] if name == "monolith" else [] if name == "bare" else [self.opt]
        return Code(self.python, self.tasks / name, [*packages, self.runtime], variables)


@contextmanager
def accounts(builds: Builds, server: PostgresServer, variables: Mapping[str, str]) -> Iterator[People]:
    """A maker of accounts, by environments of its own, which write elsewhere than those that are measured."""
    code = {
        name: replace(builds.code(name, variables), suffix=".accounts.log") for name in ("register_user", "issue_token")
    }
    with Emulator(code["register_user"]) as register, Emulator(code["issue_token"]) as log_in:
        yield People(register, log_in, f"host={server.host} port={server.port} user=postgres dbname=users")


def _print(figures: Mapping[str, Figures], names: list[str]) -> None:
    def row(name: str, kind: str = "") -> None:
        start, importing, memory = (statistics.median(values) for values in vars(figures[name]).values())
        line = f"{name:28}{start * 1000:9.0f}{importing * 1000:9.0f}{memory:9.0f}"
        if kind:
            ratio = start / statistics.median(figures[f"monolith: {kind}"].start)
            target = 1 / 3 if name.removesuffix(_SPICEDB) in READS else 1 / 2
            line += f"{ratio:9.2f}  {'' if ratio <= target else f'misses {target:.2f}'}"
        print(line.rstrip())

    print(f"{'median':28}{'start ms':>9}{'import':>9}{'MiB':>9}{'ratio':>9}")
    for name in [name for name in figures if name not in names]:
        row(name)
    for name in names:
        row(name, KINDS.get(name.removesuffix(_SPICEDB), "change"))


def main() -> None:
    """Build, start everything in turn, print a table."""
    operations = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--runs", type=int, default=7)
    arguments.add_argument("operations", nargs="*", metavar="operation", choices=[*operations, []])
    options = arguments.parse_args()
    names = options.operations or operations
    with tempfile.TemporaryDirectory() as temporary, temporary_postgres() as server:
        folder = Path(temporary)
        builds = Builds.make(folder)
        with surroundings(server, folder) as variables:
            _run(builds, server, variables, names, options.runs)


def _run(builds: Builds, server: PostgresServer, variables: dict[str, str], names: list[str], runs: int) -> None:
    conninfo = server.create_database("monolith")
    url = f"postgresql+asyncpg://postgres@/monolith?host={server.host}&port={server.port}"
    code = builds.code("monolith", {"DATABASE_URL": url, "SECRET": "0123456789abcdef0123456789abcdef"})
    subprocess.run(
        [builds.python, "-S", "-s", "-c", "import asyncio, app; asyncio.run(app.create_tables())"],
        env=code.environment(), cwd=code.folder, check=True,
    )  # fmt: skip
    monolith = Monolith(code, conninfo)
    with accounts(builds, server, variables) as people:
        kinds = ["register", "login", "profile", "list", "search", "change", "health"]
        subjects = {"bare handler": Subject(builds.code("bare", {}), dict)}
        subjects |= {f"monolith: {kind}": Subject(code, lambda kind=kind: monolith.event(kind)) for kind in kinds}  # type: ignore[misc]
        plain = variables | {"MG_SPICEDB_HOST": ""}
        for name in names:
            subjects[name] = Subject(builds.code(name, plain), lambda name=name: people.event(name))  # type: ignore[misc]
            if name in USES_SPICEDB:
                subjects[name + _SPICEDB] = replace(subjects[name], code=builds.code(name, variables))
        figures: defaultdict[str, Figures] = defaultdict(Figures)
        print(f"{builds.python}; {runs} starts of each, in turn")
        for _, (name, subject) in itertools.product(range(runs), subjects.items()):
            subject.measure(figures[name])
        _print(figures, [name for name in subjects if name.removesuffix(_SPICEDB) in names])
    monolith.close()


if __name__ == "__main__":
    main()
