"""Losing PostgreSQL and having it back (architecture.md, "The repository")."""

import secrets
import select
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from local.parts.postgres import PostgresServer, temporary_postgres
from tests.conftest import AS_OWNER
from tests.service import PASSWORD, Service, eventually, registration
from users import database
from users.errors import BadRequest, Unavailable


def kill_connection(service: Service) -> None:
    """End the service's idle connection at the server, and wait until the socket tells."""
    connection = database._connection
    assert connection is not None
    service.execute("SELECT pg_terminate_backend(%s, 10000)", connection.info.backend_pid)
    readable, _, _ = select.select([connection.fileno()], [], [], 10)
    assert readable


def test_a_read_after_the_connection_was_killed(service: Service) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    kill_connection(service)
    assert service.call("view_profile", token=token).status == 200


def test_a_write_after_the_connection_was_killed_happens_exactly_once(service: Service) -> None:
    service.register()
    kill_connection(service)
    body = registration()
    assert service.call("register_user", body).status == 201
    assert len(service.execute("SELECT id FROM users WHERE email = %s", body["email"])) == 1
    kill_connection(service)
    email = f"{uuid.uuid4()}@example.com"
    assert service.call("request_password_reset", {"email": email}).status == 201
    assert len(service.execute("SELECT id FROM users_outbox WHERE payload ->> 'email' = %s", email)) == 1


def test_a_read_whose_connection_dies_under_it_is_sent_once_more(service: Service) -> None:
    # The statement ends its own connection the first time, and answers the second time.
    rows = database.query(
        "SELECT CASE WHEN %(pid)s = pg_backend_pid() THEN pg_terminate_backend(pg_backend_pid()) ELSE true END AS done",
        {"pid": database._connected().info.backend_pid},
        read_only=True,
    )
    assert rows == [{"done": True}]


def test_a_write_whose_connection_dies_under_it_is_not(service: Service) -> None:
    with pytest.raises(Unavailable):
        database.query(
            "SELECT CASE WHEN %(pid)s = pg_backend_pid() THEN pg_terminate_backend(pg_backend_pid()) END",
            {"pid": database._connected().info.backend_pid},
            read_only=False,
        )
    assert database.query("SELECT 1 AS one", {}, read_only=True) == [{"one": 1}]


def test_one_connection_is_kept(service: Service) -> None:
    pids = {database.query("SELECT pg_backend_pid() AS pid", {}, read_only=True)[0]["pid"] for _ in range(3)}
    assert len(pids) == 1


def test_nothing_is_prepared_on_the_server(service: Service) -> None:
    for number in range(10):
        database.query("SELECT %(number)s::int AS number", {"number": number}, read_only=True)
    assert database.query("SELECT name FROM pg_prepared_statements", {}, read_only=True) == []


@pytest.mark.parametrize(
    ("statement", "value"),
    [("SELECT %(value)s::text", "a\0b"), ("SELECT %(value)s::smallint", 70000), ("SELECT %(value)s::timestamptz", "x")],
)
def test_a_value_that_no_column_holds(service: Service, statement: str, value: object) -> None:
    with pytest.raises(BadRequest, match=r"^malformed entity specification$"):
        database.query(statement, {"value": value}, read_only=True)


def test_a_value_that_no_index_holds(service: Service) -> None:
    user = service.register()
    statement = "UPDATE users SET tags = ARRAY[%(tag)s] WHERE id = %(id)s"
    with pytest.raises(BadRequest, match=r"^malformed entity specification$"):
        database.query(statement, {"tag": secrets.token_hex(20_000), "id": user["id"]}, read_only=False)
    before = database.query("SELECT pg_backend_pid() AS pid", {}, read_only=True)
    with pytest.raises(BadRequest):
        database.query(statement, {"tag": secrets.token_hex(20_000), "id": user["id"]}, read_only=False)
    assert database.query("SELECT pg_backend_pid() AS pid", {}, read_only=True) == before, "the connection is kept"


def test_a_constraint_that_nobody_foresaw_is_not_hidden(service: Service) -> None:
    user = service.register()
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.query(
            "INSERT INTO users (id, email, first_name, last_name) VALUES (%(id)s, %(email)s, '', '')",
            {"id": user["id"], "email": f"{uuid.uuid4()}@b.c"},
            read_only=False,
        )


def test_a_schema_that_is_missing_is_the_database_being_unavailable(postgres: PostgresServer, service: Service) -> None:
    name = f"empty_{uuid.uuid4().hex}"
    postgres.create_database(name)
    with service.configured(MG_USERS_DB_NAME=name):
        assert service.call("register_user", registration()).error == (503, "service_unavailable")


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    with temporary_postgres() as server:
        yield server


@pytest.fixture
def on_own_postgres(own_postgres: PostgresServer, shared_service: Service) -> Iterator[Service]:
    """The service on a server that the test may stop."""
    from operations.schema import migrate

    name = f"own_{uuid.uuid4().hex}"
    conninfo = own_postgres.create_database(name)
    environment = shared_service.environment | {
        "MG_USERS_DB_HOST": own_postgres.host,
        "MG_USERS_DB_PORT": str(own_postgres.port),
        "MG_USERS_DB_NAME": name,
        **AS_OWNER,
    }
    service = Service(environment, conninfo, shared_service.auth_environment)
    with service.configured():
        migrate()
        yield service


def test_a_stopped_server_is_503_and_a_started_one_works_again(
    on_own_postgres: Service, own_postgres: PostgresServer
) -> None:
    service = on_own_postgres
    user = service.register()
    token = service.log_in(user["email"])
    own_postgres.stop()
    for answer in (
        service.call("view_profile", token=token),
        service.call("list_users", token=token),
        service.call("register_user", registration()),
        service.call("issue_token", {"identity": user["email"], "secret": PASSWORD}),
        service.call("request_password_reset", {"email": user["email"]}),
    ):
        assert answer.error == (503, "service_unavailable")
        assert answer.headers["Retry-After"] == "2"
    assert service.call("health").status == 503
    own_postgres.start()
    own_postgres.wait_ready()
    eventually(lambda: service.call("view_profile", token=token).status == 200)
    assert service.log_in(user["email"])
    service.register()


def test_a_standby_that_takes_no_writes_is_503(on_own_postgres: Service) -> None:
    service = on_own_postgres
    service.register()
    name = service.environment["MG_USERS_DB_NAME"]
    service.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    database.close()
    assert service.call("register_user", registration()).error == (503, "service_unavailable")
