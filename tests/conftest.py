"""The real parts of a test session: each pytest-xdist worker has its own parts, on free ports."""

import io
import json
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.parts.auth import AuthServer
from local.parts.mail import MailServer
from local.parts.nats import NatsServer
from local.parts.postgres import PostgresServer, temporary_postgres
from tests.bootstrapping import empty_service
from tests.parallel import Environments
from tests.service import Service, forget, hang_up
from tests.system import System, running_system
from users.release import release

AWS = {
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_SAM_LOCAL": "true",
}
SECRET_KEY = "0123456789abcdef0123456789abcdef"
# For a service on its own database server, where no bootstrap has made the functions' role.
AS_OWNER = {"MG_USERS_DB_USER": "postgres", "MG_USERS_DB_OWNER": ""}


def pytest_configure(config: pytest.Config) -> None:
    """Hide the log lines of migrations that build indexes from failure reports, unless --log-level is set."""
    from users.telemetry.log import logger

    if not config.getoption("log_level"):
        logger.addFilter(_is_not_about_an_index)


def _is_not_about_an_index(record: logging.LogRecord) -> bool:
    return record.getMessage() != "building index"


@pytest.fixture(scope="session")
def parts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with temporary_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def auth(postgres: PostgresServer, parts_folder: Path) -> Iterator[AuthServer]:
    server = AuthServer(postgres.create_database("auth"), parts_folder / "keys")
    server.start()
    server.wait_ready()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nats_server(parts_folder: Path) -> Iterator[NatsServer]:
    server = NatsServer(parts_folder / "nats")
    server.start()
    server.wait_ready()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mail_server(parts_folder: Path) -> Iterator[MailServer]:
    server = MailServer(log=parts_folder / "mail.log")
    server.start()
    server.wait_ready()
    yield server
    server.stop()


def database_variables(postgres: PostgresServer, name: str) -> dict[str, str]:
    """Return the variables of a database.

    The service uses the role that may read and write rows only, as in a deployed stack.
    """
    return {
        "MG_USERS_DB_HOST": postgres.host,
        "MG_USERS_DB_PORT": str(postgres.port),
        "MG_USERS_DB_USER": "users_functions",
        "MG_USERS_DB_PASS": "unused",
        "MG_USERS_DB_OWNER": "postgres",
        "MG_USERS_DB_NAME": name,
        "MG_USERS_DB_SSL_MODE": "disable",
    }


@pytest.fixture(scope="session")
def environment(
    postgres: PostgresServer, auth: AuthServer, nats_server: NatsServer, mail_server: MailServer
) -> dict[str, str]:
    """Return the variables of the functions. The database is ``users``."""
    return {
        **AWS,
        **database_variables(postgres, "users"),
        "MG_AUTH_GRPC_URL": auth.grpc_url,
        "MG_AUTH_JWKS_URL": auth.jwks_url,
        "MG_SPICEDB_HOST": "127.0.0.1",
        "MG_SPICEDB_PORT": str(auth.ports.spicedb),
        "MG_USERS_ES_URL": nats_server.url,
        "AWS_ENDPOINT_URL_SESV2": mail_server.url,
        "MG_EMAIL_FROM_ADDRESS": "users@example.com",
        "MG_USERS_SECRET_KEY": SECRET_KEY,
    }


@pytest.fixture(scope="session")
def template_database(postgres: PostgresServer, environment: dict[str, str]) -> str:
    """Return the name of a migrated database to copy. Nothing is connected to it."""
    from background.setup.restricted_role import ensure_restricted_role
    from background.setup.schema import exclusive, upgrade

    name = "template_users"
    postgres.create_database(name)
    os.environ.update(environment | {"MG_USERS_DB_NAME": name})
    forget()
    with exclusive() as connection:
        upgrade(connection)
        ensure_restricted_role(connection)
    return name


@pytest.fixture(scope="session")
def shared_service(
    postgres: PostgresServer, auth: AuthServer, environment: dict[str, str], template_database: str
) -> Service:
    conninfo = postgres.create_database("users", template=template_database)
    auth_environment = {"MG_AUTH_DB_URL": auth.db_url, "MG_AUTH_KEYS_DIR": str(auth.keys_dir)}
    return Service(environment, conninfo, auth_environment)


@pytest.fixture(scope="session", autouse=True)
def _kept_connection() -> Iterator[None]:
    yield
    hang_up()


@pytest.fixture
def service(shared_service: Service) -> Iterator[Service]:
    """Yield the operations on the session's database, configured afresh for each test."""
    with shared_service.configured():
        yield shared_service


@pytest.fixture
def built_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Pretend that the code is a build of release 1.2.3."""
    written = {"version": "1.2.3", "commit": "0123abcd", "build_time": "2026-11-25_12:00:00"}
    (tmp_path / "release.json").write_text(json.dumps(written))
    monkeypatch.setattr("users.release._FILE", tmp_path / "release.json")
    release.cache_clear()
    yield
    release.cache_clear()


@pytest.fixture
def own_service(
    postgres: PostgresServer, shared_service: Service, template_database: str, request: pytest.FixtureRequest
) -> Iterator[Service]:
    """Yield the operations on a database that only this test uses."""
    name = f"own_{abs(hash(request.node.nodeid)):x}"
    conninfo = postgres.create_database(name, template=template_database)
    service = Service(
        shared_service.environment | {"MG_USERS_DB_NAME": name}, conninfo, shared_service.auth_environment
    )
    with service.configured():
        yield service
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def emptied_database(postgres: PostgresServer, template_database: str) -> str:
    return postgres.create_database("emptied", template=template_database)


@pytest.fixture
def empty(postgres: PostgresServer, shared_service: Service) -> Iterator[Service]:
    """Yield a service on a new database without tables, as before the first bootstrap."""
    with empty_service(postgres, shared_service) as service:
        yield service


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a folder for `make run` that PostgreSQL's user can enter."""
    with tempfile.TemporaryDirectory(prefix="mg-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def emptied_service(shared_service: Service, emptied_database: str) -> Iterator[Service]:
    """Yield the operations on a database that is empty at the beginning. Emptying is quicker than making a database."""
    service = Service(
        shared_service.environment | {"MG_USERS_DB_NAME": "emptied"}, emptied_database, shared_service.auth_environment
    )
    with service.configured():
        service.execute("WITH u AS (DELETE FROM users), t AS (DELETE FROM users_throttle) DELETE FROM users_outbox")
        yield service


@pytest.fixture
def make_auth(postgres: PostgresServer, tmp_path: Path) -> Iterator[Callable[..., AuthServer]]:
    """Yield a function that makes Auth servers for one test, with more variables, to stop and start again."""
    servers: list[AuthServer] = []

    def make(**variables: str) -> AuthServer:
        name = f"auth_{uuid.uuid4().hex}"
        server = AuthServer(postgres.create_database(name), tmp_path / name, environment={**os.environ, **variables})
        servers.append(server)
        server.start()
        server.wait_ready()
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def log_output() -> Iterator[io.StringIO]:
    """Capture the log output of the service from now on."""
    from users.telemetry.log import logger

    output = io.StringIO()
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(output)
    yield output
    handler.setStream(before)


@pytest.fixture(scope="session")
def system(
    postgres: PostgresServer, mail_server: MailServer, environment: dict[str, str], parts_folder: Path
) -> Iterator[System]:
    """Yield the whole system behind its gateway, bootstrapped on a database of its own."""
    conninfo = postgres.create_database("system")
    with running_system("system", conninfo, mail_server.url, environment, parts_folder) as started:
        yield started


@pytest.fixture(scope="session")
def environments() -> Iterator[Environments]:
    """Yield eight processes that call operations at the same time."""
    started = Environments(8)
    yield started
    started.stop()
