"""Losing PostgreSQL and having it back."""

import re
import secrets
import select
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from local.parts.postgres import PostgresServer, temporary_postgres
from tests.conftest import AS_OWNER
from tests.people import NEW_PASSWORD, administrator, log_in, person, refresh
from tests.service import PASSWORD, Answer, Service, eventually, forget, registration
from tests.sql import run
from users.errors import BadRequest, Unavailable
from users.repository import database


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
    rows = run(
        "SELECT CASE WHEN %(pid)s = pg_backend_pid() THEN pg_terminate_backend(pg_backend_pid()) ELSE true END AS done",
        {"pid": database._connected().info.backend_pid},
        read_only=True,
    )
    assert rows == [{"done": True}]


def test_a_write_whose_connection_dies_under_it_is_not(service: Service) -> None:
    with pytest.raises(Unavailable):
        run(
            "SELECT CASE WHEN %(pid)s = pg_backend_pid() THEN pg_terminate_backend(pg_backend_pid()) END",
            {"pid": database._connected().info.backend_pid},
            read_only=False,
        )
    assert run("SELECT 1 AS one", {}, read_only=True) == [{"one": 1}]


def test_one_connection_is_kept(service: Service) -> None:
    pids = {run("SELECT pg_backend_pid() AS pid", {}, read_only=True)[0]["pid"] for _ in range(3)}
    assert len(pids) == 1


def prepared() -> list[str]:
    """The texts of the statements that the server holds prepared; all came by the protocol, none by SQL."""
    rows = run("SELECT statement, from_sql FROM pg_prepared_statements", {}, read_only=True, prepare=False)
    assert not any(row["from_sql"] for row in rows)
    return [row["statement"] for row in rows]


def test_a_statement_is_prepared_when_it_runs_again(service: Service) -> None:
    text = "SELECT /* users: test */ $1::int AS number"
    for expected in ([], [text], [text]):
        run("SELECT %(number)s::int AS number", {"number": 7}, read_only=True)
        assert prepared() == expected


def test_a_statement_whose_plan_depends_on_its_values_is_not_prepared(service: Service) -> None:
    for number in range(3):
        run("SELECT %(number)s::int AS number", {"number": number}, read_only=True, prepare=False)
    assert prepared() == []


def test_lists_and_searches_are_not_prepared(service: Service) -> None:
    boss = administrator(service)
    forget()
    for _ in range(3):
        assert service.call("list_users", token=boss.token, query="email=example").status == 200
        assert service.call("search_users", token=boss.token, query="username=john").status == 200
    assert prepared() == []


def test_an_old_libpq_would_deallocate_by_sql_so_it_prepares_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RDS Proxy pins a connection for DEALLOCATE."""
    monkeypatch.setattr(database.capabilities, "has_send_close_prepared", lambda: False)
    for _ in range(3):
        run("SELECT 1 AS one", {}, read_only=True)
    assert prepared() == []


def test_a_setting_prepares_nothing(service: Service) -> None:
    with service.configured(MG_USERS_DB_PREPARE="false"):
        for _ in range(3):
            run("SELECT 1 AS one", {}, read_only=True)
        assert prepared() == []


def test_statements_are_let_go_of_without_sql(service: Service, tmp_path: Path) -> None:
    """What is sent, as libpq traces it: closing is a message of the protocol."""
    run("SELECT 1 AS one", {}, read_only=True)
    connection = database._connection
    assert connection is not None
    with (tmp_path / "trace").open("w") as trace:
        connection.pgconn.trace(trace.fileno())
        for number in range(60):
            for _ in range(2):
                run(f"SELECT {number} AS number", {}, read_only=True)
        connection.pgconn.untrace()
    sent = [line for line in (tmp_path / "trace").read_text().splitlines() if "\tF\t" in line]
    assert len(prepared()) <= 51
    assert sum("\tClose\t" in line for line in sent) >= 9
    assert not any("DEALLOCATE" in line for line in sent)


@pytest.fixture
def plain_table(own_service: Service) -> Service:
    """A service whose database has the table ``plain`` with one row; its statements have been prepared."""
    own_service.execute("CREATE TABLE plain (number int)")
    own_service.execute("INSERT INTO plain VALUES (1)")
    own_service.execute("GRANT SELECT, INSERT ON plain TO PUBLIC")
    for _ in range(8):
        assert run("SELECT * FROM plain", {}, read_only=True) == [{"number": 1}]
        assert run(INSERT_ONE, {"number": 2, "wanted": False}, read_only=False) == []
    assert len(prepared()) == 2
    return own_service


INSERT_ONE = "INSERT INTO plain (number) SELECT %(number)s WHERE %(wanted)s RETURNING *"


def test_a_migration_while_a_function_is_warm(plain_table: Service) -> None:
    """PostgreSQL refuses a prepared statement whose columns changed (0A000); nobody sees that."""
    plain_table.execute("ALTER TABLE plain ADD COLUMN name text")
    assert run("SELECT * FROM plain", {}, read_only=True) == [{"number": 1, "name": None}]
    plain_table.execute("ALTER TABLE plain ALTER COLUMN number TYPE bigint")
    assert run("SELECT * FROM plain", {}, read_only=True) == [{"number": 1, "name": None}]


def test_a_write_after_a_migration_happens_exactly_once(plain_table: Service) -> None:
    plain_table.execute("ALTER TABLE plain ADD COLUMN name text")
    written = run(INSERT_ONE, {"number": 2, "wanted": True}, read_only=False)
    assert written == [{"number": 2, "name": None}]
    assert plain_table.execute("SELECT count(*) AS rows FROM plain") == [{"rows": 2}]


def test_an_index_comes_and_goes_while_a_function_is_warm(plain_table: Service) -> None:
    for statement in ("CREATE UNIQUE INDEX plain_number ON plain (number)", "DROP INDEX plain_number"):
        plain_table.execute(statement)
        assert run("SELECT * FROM plain", {}, read_only=True) == [{"number": 1}]
        assert len(prepared()) == 2, "the server plans it anew by itself"


def test_statements_that_a_proxy_has_lost(plain_table: Service) -> None:
    connection = database._connection
    assert connection is not None
    connection.pgconn.exec_(b"DEALLOCATE ALL")  # psycopg does not know
    assert run(INSERT_ONE, {"number": 2, "wanted": True}, read_only=False) == [{"number": 2}]
    assert plain_table.execute("SELECT count(*) AS rows FROM plain") == [{"rows": 2}]


def test_what_the_server_really_cannot_do_is_not_hidden(service: Service) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        run("SELECT 1 UNION SELECT 2 FOR UPDATE", {}, read_only=True)


@pytest.mark.long
def test_plans_without_values_read_no_whole_table(own_service: Service) -> None:
    """With many accounts and counters: after five executions PostgreSQL plans a statement without its values."""
    service = own_service
    service.execute(
        "INSERT INTO users (id, email, username, first_name, last_name, created_at)"
        " SELECT 'id' || n, n || '@example.com', 'name' || n, 'Ada', 'L', now() FROM generate_series(1, 100000) n"
    )
    service.execute(
        "INSERT INTO users_throttle (key, user_id, hits, expires_at, hit_at)"
        " SELECT 'login:' || n, 'id' || n, 1, now() + interval '1 hour', now() FROM generate_series(1, 100000) n"
    )
    service.execute(
        "INSERT INTO users_known_addresses (user_id, address, logged_in_at)"
        " SELECT 'id' || n, 'near', now() FROM generate_series(1, 100000) n"
    )
    service.execute(
        "INSERT INTO users_login_failures (user_id, failures) SELECT 'id' || n, 1 FROM generate_series(1, 100000) n"
    )
    service.execute("ANALYZE")
    filled = re.compile("Seq Scan on users(_throttle|_known_addresses|_login_failures)? ")
    ada = person(service)
    forget()
    wrong = {"old_secret": "wrong", "new_secret": NEW_PASSWORD}
    calls: list[tuple[int, Callable[[], Answer]]] = [
        (201, lambda: log_in(service, ada.email, address="192.0.2.1")),
        (401, lambda: log_in(service, ada.email, "wrong", address="192.0.2.1")),
        (201, lambda: service.call("register_user", registration())),
        (200, lambda: service.call("view_profile", token=ada.token)),
        (200, lambda: service.call("update_user", {"first_name": "A"}, token=ada.token, user_id=ada.id)),
        (201, lambda: refresh(service, ada.refresh_token)),
        (403, lambda: service.call("update_user_secret", wrong, token=ada.token)),
    ]
    for status, call in calls:
        for _ in range(2):
            assert call().status == status
    statements = prepared()
    assert len(statements) > len(calls)
    for statement in statements:
        assert len(statement.encode()) < 16_384, "RDS Proxy pins a connection for longer ones"
        plan = service.execute(f"EXPLAIN (GENERIC_PLAN) {statement}".replace("%", "%%"))
        assert not [each for each in plan if filled.search(each["QUERY PLAN"])], plan


def test_a_lost_connection_has_no_prepared_statements(service: Service) -> None:
    for _ in range(3):
        run("SELECT 1 AS one", {}, read_only=True)
    kill_connection(service)
    assert run("SELECT 1 AS one", {}, read_only=True) == [{"one": 1}]
    assert prepared() == []


@pytest.mark.parametrize(
    ("statement", "value"),
    [("SELECT %(value)s::text", "a\0b"), ("SELECT %(value)s::smallint", 70000), ("SELECT %(value)s::timestamptz", "x")],
)
def test_a_value_that_no_column_holds(service: Service, statement: str, value: object) -> None:
    with pytest.raises(BadRequest, match=r"^malformed entity specification$"):
        run(statement, {"value": value}, read_only=True)


def test_a_value_that_no_index_holds(service: Service) -> None:
    user = service.register()
    statement = "UPDATE users SET tags = ARRAY[%(tag)s] WHERE id = %(id)s"
    with pytest.raises(BadRequest, match=r"^malformed entity specification$"):
        run(statement, {"tag": secrets.token_hex(20_000), "id": user["id"]}, read_only=False)
    before = run("SELECT pg_backend_pid() AS pid", {}, read_only=True)
    with pytest.raises(BadRequest):
        run(statement, {"tag": secrets.token_hex(20_000), "id": user["id"]}, read_only=False)
    assert run("SELECT pg_backend_pid() AS pid", {}, read_only=True) == before, "the connection is kept"


def test_a_constraint_that_nobody_foresaw_is_not_hidden(service: Service) -> None:
    user = service.register()
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(
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
    from background.setup.schema import migrate

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


def test_statistics_show_the_names_of_statements(on_own_postgres: Service, own_postgres: PostgresServer) -> None:
    service = on_own_postgres
    service.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    own_postgres.stop()
    own_postgres.start()
    own_postgres.wait_ready()
    service.execute("CREATE EXTENSION pg_stat_statements")
    user = service.register()
    service.log_in(user["email"])
    shown = " ".join(row["query"] for row in service.execute("SELECT query FROM pg_stat_statements"))
    names = set(re.findall(r"/\* users: (\w+) \*/", shown))
    assert names >= {"register", "begin_login", "count_login", "record_login"}


def test_a_standby_that_takes_no_writes_is_503(on_own_postgres: Service) -> None:
    service = on_own_postgres
    service.register()
    name = service.environment["MG_USERS_DB_NAME"]
    service.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    database.close()
    assert service.call("register_user", registration()).error == (503, "service_unavailable")
