"""A takeover of tables that are in use, and a takeover that is killed."""

import io
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from local.parts.postgres import PostgresServer
from tests.bootstrapping import bootstrap, catalog, empty_service, refused, start_bootstrap
from tests.service import Service, eventually
from tests.takeover import upstream
from tests.takeover.upstream import add_user

MANY = 100_000
FOLDED_TWICE = """
    SELECT lower(email) FROM users WHERE NOT case_conflict GROUP BY 1 HAVING count(*) > 1
    UNION ALL SELECT lower(username) FROM users WHERE NOT case_conflict GROUP BY 1 HAVING count(username) > 1"""


@pytest.fixture
def taken(postgres: PostgresServer, shared_service: Service) -> Iterator[Service]:
    """Yield a service on a database of upstream's last release, before bootstrap."""
    with empty_service(postgres, shared_service) as service:
        upstream.make_database(service.conninfo)
        upstream.fill(service.conninfo, 200)
        yield service


# --- writers and readers


@pytest.mark.parametrize(
    ("after", "times"),
    [("mark_case_conflicts", 2), pytest.param("complete_accounts", 1, marks=pytest.mark.long)],
)
def test_a_conflict_that_is_written_during_the_takeover(
    taken: Service, shared_service: Service, monkeypatch: pytest.MonkeyPatch, after: str, times: int
) -> None:
    """Between marking and indexing, the running upstream registers a name that exists in another letter case."""
    from background.setup import takeover

    step: Callable[..., int] = getattr(takeover, after)
    written: list[str] = []

    def followed_by_upstream(connection: object) -> int:
        count = step(connection)
        if len(written) < times:
            number = len(written) + 1
            written.append(
                add_user(taken, email=f"USER{number}@example.com", status=number - 1, created_at="2100-01-01")
            )
        return count

    monkeypatch.setattr(takeover, after, followed_by_upstream)
    bootstrap()
    assert len(written) == times
    assert catalog(taken) == catalog(shared_service)
    assert taken.execute(FOLDED_TWICE) == []
    assert {row["id"] for row in taken.execute("SELECT id FROM users WHERE case_conflict")} >= set(written)
    assert taken.execute("SELECT 1 FROM users WHERE status = 1 AND disabled_at IS NULL") == []


@pytest.mark.long
def test_a_long_reader_holds_up_the_takeover_and_nobody_else(
    taken: Service, log_output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("background.setup.schema._PAUSE", 0.3)
    done: list[object] = []
    running = threading.Thread(target=lambda: done.append(bootstrap()))
    with psycopg.connect(taken.conninfo) as reader, psycopg.connect(taken.conninfo, autocommit=True) as others:
        reader.execute("SELECT count(*) FROM users")
        running.start()
        eventually(lambda: "waiting for transactions" in log_output.getvalue())
        slowest = 0.0
        while log_output.getvalue().count("waiting for transactions") < 2:
            started = time.monotonic()
            others.execute("UPDATE users SET first_name = 'Eve' WHERE username = 'user1'")
            slowest = max(slowest, time.monotonic() - started)
        assert slowest < 2, "the statement_timeout of requests"
        reader.rollback()
        running.join(60)
    assert done


def test_a_reader_that_never_ends_is_named(taken: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("background.setup.schema.PATIENCE", 0.0)
    monkeypatch.setattr("background.setup.schema.LOCK_TIMEOUT", "100ms")
    with psycopg.connect(taken.conninfo, application_name="a report") as reader:
        reader.execute("SELECT count(*) FROM users")
        with refused(rf"process {reader.info.backend_pid} \(a report\).*bootstrap again"):
            bootstrap()
    assert bootstrap()["accounts"] == 201


# --- kill -9


@pytest.mark.long
def test_an_index_that_a_killed_run_left_invalid_is_made_again(taken: Service, shared_service: Service) -> None:
    """The folded index waits for a writer when the process and its server process end."""
    from background.setup.schema import migrate

    migrate("0001")
    taken.execute(
        "ALTER TABLE users ADD tokens_valid_from TIMESTAMPTZ, ADD secret_changed_at TIMESTAMPTZ,"
        " ADD disabled_at TIMESTAMPTZ, ADD deleted_at TIMESTAMPTZ, ADD purging_at TIMESTAMPTZ,"
        " ADD case_conflict BOOLEAN NOT NULL DEFAULT false"
    )
    with psycopg.connect(taken.conninfo) as writer:
        add = "INSERT INTO users (id, email, first_name, last_name) VALUES ('x', 'x@y.z', '', '')"
        writer.execute(add)
        process = start_bootstrap(taken)
        (row,) = eventually(
            lambda: taken.execute("SELECT pid FROM pg_stat_activity WHERE starts_with(query, 'CREATE UNIQUE INDEX')")
        )
        process.kill()
        process.communicate()
        taken.execute("SELECT pg_terminate_backend(%s)", row["pid"])
        eventually(lambda: not taken.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", row["pid"]))
        (index,) = taken.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_email_folded_key'::regclass"
        )
        assert not index["indisvalid"]
    bootstrap()
    assert catalog(taken) == catalog(shared_service)


@pytest.fixture(scope="module")
def many(postgres: PostgresServer) -> str:
    """Return the name of an upstream database with 100 000 users, to copy."""
    name = "many_users"
    conninfo = postgres.create_database(name)
    upstream.make_database(conninfo, "clients_10")
    upstream.fill(conninfo, MANY)
    return name


# States of the database during a takeover, one after the other.
MOMENTS = {
    "rows are read": "to_regclass('users_migrations') IS NOT NULL",
    "accounts are completed": "EXISTS (SELECT FROM pg_attribute WHERE attname = 'case_conflict')",
    "the folded e-mails are indexed": "to_regclass('users_email_folded_key') IS NOT NULL",
    "the folded usernames are indexed": "to_regclass('users_username_folded_key') IS NOT NULL",
    "the outbox is there": "to_regclass('users_outbox') IS NOT NULL",
    "infixes are indexed": "to_regclass('users_infixes') IS NOT NULL",
    "e-mails are indexed": "to_regclass('users_email_order') IS NOT NULL",
}


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_takeover_of_many_users_that_is_killed(
    postgres: PostgresServer, shared_service: Service, many: str, moment: str
) -> None:
    with empty_service(postgres, shared_service, template=many) as service:
        before = service.execute("SELECT id, email, username, status FROM users ORDER BY id")
        process = start_bootstrap(service)
        try:
            eventually(lambda: service.execute(f"SELECT 1 WHERE {MOMENTS[moment]}"), seconds=60)
            assert process.poll() is None, "the takeover is still running"
        finally:
            process.kill()
            process.communicate()
        done = bootstrap()
        assert catalog(service) == catalog(shared_service)
        assert (done["from_upstream"], done["case_conflicts"]) == (MANY, MANY // 50)
        assert (done["disabled_to_be_removed"], done["deleted_to_be_removed"]) == (MANY // 20, MANY // 20)
        kept = "SELECT id, email, username, status FROM users WHERE email <> 'root@example.com' ORDER BY id"
        assert service.execute(kept) == before
        assert service.execute(FOLDED_TWICE) == []
        assert service.execute("SELECT 1 FROM users WHERE role IS NULL") == []


@pytest.mark.long
def test_two_takeovers_at_once(postgres: PostgresServer, shared_service: Service, many: str) -> None:
    with empty_service(postgres, shared_service, template=many) as service:
        processes = [start_bootstrap(service) for _ in range(2)]
        outputs = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
        assert catalog(service) == catalog(shared_service)
        assert len(service.execute("SELECT 1 FROM users WHERE role = 1")) == 1
