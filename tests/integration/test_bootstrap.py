"""bootstrap: an empty database, the first administrator, CloudFormation (contract §4.9; S21).

See also tests/takeover.
"""

import io
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.bootstrapping import ADMINISTRATOR, bootstrap, catalog, refused, start_bootstrap
from tests.http_server import http_server
from tests.service import Service, eventually


def untouched(service: Service) -> bool:
    return service.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []


# --- an empty database


def test_an_empty_database(empty: Service) -> None:
    done = bootstrap()
    assert done["administrator"] == "made the administrator"
    (admin,) = empty.execute("SELECT * FROM users")
    assert admin["secret"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (admin["email"], admin["username"], admin["first_name"], admin["last_name"]) == (
        *("root@example.com", "admin"),
        *("super", "admin"),
    )
    assert (admin["role"], admin["status"], admin["metadata"], admin["verified_at"]) == (1, 0, {"role": "admin"}, None)
    assert empty.execute("SELECT version_num FROM users_migrations") == [{"version_num": done["schema"]}]
    token = empty.log_in("root@example.com", ADMINISTRATOR["MG_USERS_ADMIN_PASSWORD"])
    assert empty.call("list_users", token=token).json["total"] == 1, "unverified, but an administrator"


def test_the_administrators_event(empty: Service) -> None:
    bootstrap()
    (row,) = empty.execute("SELECT * FROM users_outbox WHERE channel = 'event'")
    assert (row["name"], row["payload"]["email"]) == ("user.create", "root@example.com")


def test_the_roles_time_limits_hold_for_new_connections(empty: Service) -> None:
    bootstrap()
    (row,) = empty.execute(
        "SELECT current_setting('statement_timeout') AS statement,"
        " current_setting('idle_in_transaction_session_timeout') AS idle"
    )
    assert row == {"statement": "2s", "idle": "30s"}


def test_a_second_time_changes_nothing(empty: Service) -> None:
    first = bootstrap()
    before = (catalog(empty), empty.execute("SELECT * FROM users"), empty.execute("SELECT * FROM users_outbox"))
    assert bootstrap() == first | {"administrator": "an administrator is there already"}
    assert (catalog(empty), empty.execute("SELECT * FROM users"), empty.execute("SELECT * FROM users_outbox")) == before


def test_alembic_is_loaded_only_where_there_is_something_to_migrate(empty: Service) -> None:
    """Alembic and SQLAlchemy are more than half of a cold start, and most deployments migrate nothing."""
    loaded = []
    for _ in range(2):
        output, errors = start_bootstrap(empty).communicate(timeout=60)
        loaded.append({"alembic", "sqlalchemy", "psycopg"} & set(output.splitlines()[-2].split()))
        assert "schema" in json.loads(output.splitlines()[-1]), errors
    assert loaded == [{"alembic", "sqlalchemy", "psycopg"}, {"psycopg"}]


@pytest.mark.parametrize("migrated", [False, True])
def test_several_at_once(empty: Service, migrated: bool) -> None:
    if migrated:
        bootstrap()
        empty.execute("DELETE FROM users")
    processes = [start_bootstrap(empty) for _ in range(3)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    done = [json.loads(output.splitlines()[-1])["administrator"] for output, _ in outputs]
    assert sorted(done) == ["an administrator is there already"] * 2 + ["made the administrator"]
    assert len(empty.execute("SELECT 1 AS one FROM users")) == 1


def test_an_index_that_a_killed_run_left_invalid_is_made_again(empty: Service) -> None:
    from background.setup.schema import migrate

    migrate("0003")
    empty.execute("CREATE INDEX users_updated_order ON users (id)")
    empty.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_updated_order'::regclass")
    bootstrap()
    (row,) = empty.execute(
        "SELECT indisvalid, pg_get_indexdef(indexrelid) AS definition FROM pg_index"
        " WHERE indexrelid = 'users_updated_order'::regclass"
    )
    assert row["indisvalid"]
    assert "COALESCE(updated_at" in row["definition"]


def test_nobody_waits_while_old_digests_are_deleted(empty: Service) -> None:
    """There may be millions of digests, and logins write to the table ``users`` meanwhile (migration 0011)."""
    from background.setup.schema import migrate

    migrate("0010")
    empty.execute("INSERT INTO users (id, email, first_name, last_name) VALUES ('a', 'ada@example.com', '', '')")
    empty.execute("INSERT INTO users_known_addresses VALUES ('a', 'digest', now())")
    for key in ("login:pair:x", "register:x", "mail:x"):
        empty.execute("INSERT INTO users_throttle VALUES (%s, 'a', 1, now(), now())", key)
    held = """
        SELECT ARRAY(SELECT l.mode FROM pg_locks l WHERE l.pid = a.pid AND l.relation = 'users'::regclass) AS modes
        FROM pg_stat_activity a WHERE wait_event_type = 'Lock' AND query LIKE '%%DELETE FROM users_known_addresses%%'"""
    with psycopg.connect(empty.conninfo) as login, ThreadPoolExecutor() as pool:
        login.execute("UPDATE users_known_addresses SET address = address")
        running = pool.submit(bootstrap)
        (deleting,) = eventually(lambda: empty.execute(held))
        login.rollback()
        running.result(60)
    assert "ShareRowExclusiveLock" not in deleting["modes"]
    assert empty.execute("SELECT 1 FROM users_known_addresses") == []
    assert empty.execute("SELECT key FROM users_throttle") == [{"key": "mail:x"}]


# --- the administrator (background/setup/admin.py)


def test_the_default_password_is_for_developers_only(empty: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SAM_LOCAL")
    with empty.configured(MG_USERS_ADMIN_PASSWORD=""):
        monkeypatch.delenv("AWS_SAM_LOCAL")
        with refused("MG_USERS_ADMIN_PASSWORD"):
            bootstrap()
        assert empty.execute("SELECT id FROM users") == []


def test_the_default_password_locally(empty: Service) -> None:
    with empty.configured(MG_USERS_ADMIN_PASSWORD=""):
        bootstrap()
        assert empty.log_in("admin", "12345678")


STANDINGS = [
    ("status = 1, disabled_at = now()", "disabled", "enable it"),
    ("status = 2, deleted_at = now(), disabled_at = NULL", "deleted", "enable it"),
    ("status = 2, purging_at = now()", "being removed", "run bootstrap again"),
    ("status = 0, purging_at = NULL, deleted_at = NULL, role = 0", "no enabled administrator", "make it one"),
    ("email = upper(email)", "no enabled administrator", "make it one"),
]


def test_an_account_that_has_the_address_is_left_as_it_is(empty: Service) -> None:
    bootstrap()
    for change, standing, advice in STANDINGS:
        empty.execute(f"UPDATE users SET {change}")
        before = empty.execute("SELECT * FROM users")
        done = bootstrap()["administrator"]
        assert standing in done
        assert advice in done
        assert empty.execute("SELECT * FROM users") == before


def test_another_address_makes_another_administrator_when_none_is_enabled(empty: Service) -> None:
    bootstrap()
    empty.execute("UPDATE users SET status = 2, deleted_at = now()")
    with empty.configured(MG_USERS_ADMIN_EMAIL="second@example.com"):
        assert "because admin was taken" in bootstrap()["administrator"], "a deleted account keeps its username"
    assert empty.log_in("second@example.com", ADMINISTRATOR["MG_USERS_ADMIN_PASSWORD"])


def test_another_address_changes_nothing_while_an_administrator_is_enabled(empty: Service) -> None:
    bootstrap()
    with empty.configured(MG_USERS_ADMIN_EMAIL="second@example.com", MG_USERS_ADMIN_PASSWORD="12345678"):
        assert bootstrap()["administrator"] == "an administrator is there already"
    assert empty.execute("SELECT email FROM users") == [{"email": "root@example.com"}]


REFUSED = [
    ("MG_USERS_ADMIN_EMAIL", "no address", "invalid email"),
    ("MG_USERS_ADMIN_EMAIL", "Root <root@example.com>", "invalid email"),
    ("MG_USERS_ADMIN_EMAIL", f"{'r' * 250}@example.com", "longer than 254"),
    ("MG_USERS_ADMIN_USERNAME", "root@example.com", "invalid username"),
    ("MG_USERS_ADMIN_FIRST_NAME", "x" * 300, "longer than 254"),
    ("MG_USERS_ADMIN_LAST_NAME", "x" * 300, "longer than 254"),
    ("MG_USERS_ADMIN_PASSWORD", "short", "requirements"),
    ("MG_USERS_ADMIN_PASSWORD", "password1", "common"),
    ("MG_USERS_ADMIN_PASSWORD", "my-admin-of-users", "contains the username"),
]


def test_what_registration_refuses_is_refused(empty: Service) -> None:
    for variable, value, why in REFUSED:
        with empty.configured(**{variable: value}), refused(f"^{variable}: .*{why}"):
            bootstrap()
    assert empty.execute("SELECT id FROM users") == []
    assert bootstrap()["administrator"] == "made the administrator", "the same command continues"


def test_a_long_username_that_is_taken_gets_an_ending_that_fits(empty: Service) -> None:
    name = "a" * 32
    with empty.configured(MG_USERS_ADMIN_USERNAME=name):
        bootstrap()
        empty.execute("UPDATE users SET email = 'other@example.com', role = 0")
        bootstrap()
    (admin,) = empty.execute("SELECT username FROM users WHERE role = 1")
    assert len(admin["username"]) == 32


def test_an_administrator_under_another_name_is_enough(empty: Service) -> None:
    bootstrap()
    empty.execute("UPDATE users SET email = 'other@example.com', username = 'other'")
    assert bootstrap()["administrator"] == "an administrator is there already"
    assert len(empty.execute("SELECT id FROM users")) == 1


def test_a_taken_username_gets_an_ending(empty: Service) -> None:
    bootstrap()
    empty.execute("UPDATE users SET email = 'other@example.com', role = 0, username = 'ADMIN'")
    done = bootstrap()["administrator"]
    (admin,) = empty.execute("SELECT username FROM users WHERE role = 1")
    assert admin["username"].startswith("admin-")
    assert admin["username"] in done


# --- refusals


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MG_USERS_PASS_REGEX", "("),
        ("MG_USERS_PASS_REGEX", "(?=.*[0-9])"),
        ("MG_USERS_SECRET_KEY", ""),
        ("MG_USERS_SECRET_KEY", "short"),
        ("MG_USERS_DB_SSL_MODE", "wrong"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_before_anything_is_done(
    empty: Service, variable: str, value: str
) -> None:
    with empty.configured(**{variable: value}), refused(f"^{variable}: "):
        bootstrap()
    assert untouched(empty)


@pytest.mark.parametrize("variables", [{"MG_USERS_DB_HOST": "/nowhere"}, {"MG_USERS_DB_NAME": "nowhere"}], ids=str)
def test_a_database_out_of_reach_says_which_variables(empty: Service, variables: dict[str, str]) -> None:
    with empty.configured(**variables), refused(r"MG_USERS_DB_\*"):
        bootstrap()


def test_the_policy_store_away_leaves_the_relation_to_the_outbox(empty: Service) -> None:
    with empty.configured(MG_SPICEDB_PORT="1"):
        assert bootstrap()["administrator"] == "made the administrator"
    (row,) = empty.execute("SELECT payload FROM users_outbox WHERE channel = 'relation'")
    assert row["payload"]["user_id"] == empty.execute("SELECT id FROM users")[0]["id"]
    empty.deliver()
    assert empty.execute("SELECT payload FROM users_outbox WHERE channel = 'relation'") == []


def test_a_database_of_a_newer_release_is_left_alone(empty: Service) -> None:
    bootstrap()
    empty.execute("UPDATE users_migrations SET version_num = '9999'")
    with refused("9999"):
        bootstrap()


# --- as a CloudFormation custom resource


SECRET = "a secret of the resource's properties"


def custom_resource(url: str, kind: str = "Create") -> dict[str, Any]:
    return {
        "RequestType": kind,
        "ResponseURL": url,
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Bootstrap",
        "ResourceType": "Custom::Bootstrap",
        "ResourceProperties": {"ServiceToken": "arn", "Secret": SECRET},
    }


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_cloudformation_is_told_of_success(empty: Service, kind: str) -> None:
    with http_server() as server:
        bootstrap(custom_resource(server.url, kind))
    (request,) = server.received
    assert (request.method, json.loads(request.body)["Status"]) == ("PUT", "SUCCESS")
    assert len(empty.execute("SELECT id FROM users")) == 1


def test_cloudformation_is_told_of_deletion_and_nothing_is_done(empty: Service) -> None:
    with http_server() as server:
        bootstrap(custom_resource(server.url, "Delete"))
    assert json.loads(server.received[0].body)["Status"] == "SUCCESS"
    assert untouched(empty)


def newer_release(service: Service) -> dict[str, str]:
    bootstrap()
    service.execute("UPDATE users_migrations SET version_num = '9999'")
    return {}


def test_cloudformation_rolls_back_to_an_older_release(empty: Service) -> None:
    newer_release(empty)
    with http_server() as server:
        done = bootstrap(custom_resource(server.url, "Update"))
    assert json.loads(server.received[0].body)["Status"] == "SUCCESS"
    assert done == {"schema": "of a newer release"}
    assert empty.execute("SELECT version_num FROM users_migrations") == [{"version_num": "9999"}]


FAILURES: dict[str, Callable[[Service], dict[str, str]]] = {
    "a setting": lambda _: {"MG_USERS_SECRET_KEY": "short"},
    "the database": lambda _: {"MG_USERS_DB_HOST": "/nowhere"},
    "the administrator": lambda _: {"MG_USERS_ADMIN_FIRST_NAME": "x" * 300},
    "a newer release": newer_release,
}


@pytest.mark.parametrize("cause", FAILURES)
def test_cloudformation_is_told_of_failure(empty: Service, capsys: pytest.CaptureFixture[str], cause: str) -> None:
    variables = FAILURES[cause](empty)
    with http_server() as server, empty.configured(**variables):
        bootstrap(custom_resource(server.url))
    document = json.loads(server.received[0].body)
    assert document["Status"] == "FAILED"
    assert document["Reason"]
    assert ADMINISTRATOR["MG_USERS_ADMIN_PASSWORD"] not in document["Reason"]
    assert SECRET not in document["Reason"]
    assert '"ServerErrors":[1.0]' in capsys.readouterr().out


def test_cloudformation_is_told_of_what_nobody_foresaw(
    empty: Service, monkeypatch: pytest.MonkeyPatch, log_output: io.StringIO
) -> None:
    def broken() -> str:
        raise LookupError(SECRET)

    monkeypatch.setattr("background.setup.bootstrap.ensure_administrator", broken)
    with http_server() as server:
        bootstrap(custom_resource(server.url))
    document = json.loads(server.received[0].body)
    assert document["Status"] == "FAILED"
    assert "LookupError" in document["Reason"]
    assert SECRET not in document["Reason"] + log_output.getvalue()


def test_cloudformation_gets_the_counts_and_always_the_same_resource(empty: Service, log_output: io.StringIO) -> None:
    with http_server() as server:
        for kind in ("Create", "Update", "Delete"):
            bootstrap(custom_resource(server.url, kind))
    documents = [json.loads(request.body) for request in server.received]
    assert {document["PhysicalResourceId"] for document in documents} == {"users-bootstrap"}
    assert documents[0]["Data"]["accounts"] == 1
    assert len(empty.execute("SELECT id FROM users")) == 1, "a Delete keeps the data"
    assert SECRET not in log_output.getvalue()
    assert all(len(request.body) < 4096 for request in server.received), "CloudFormation's limit"


def test_work_that_would_outlast_the_function_is_ended_and_told(empty: Service) -> None:
    """Another run holds the lock, without an end in sight."""
    from background.setup.schema import exclusive

    started = time.monotonic()
    with exclusive(), http_server() as server:
        bootstrap(custom_resource(server.url), milliseconds=31_000)
    assert time.monotonic() - started < 10
    document = json.loads(server.received[0].body)
    assert document["Status"] == "FAILED"
    assert "not enough time" in document["Reason"]
    assert bootstrap()["administrator"] == "made the administrator"


def test_an_index_that_takes_too_long_is_ended_and_told(empty: Service) -> None:
    """An older transaction delays an index that is built concurrently. The server stops building it as well."""
    from background.setup.schema import migrate

    migrate("0003")
    with psycopg.connect(empty.conninfo) as writer:
        writer.execute("UPDATE users SET status = 0")
        with refused("not enough time"):
            bootstrap(milliseconds=31_500)
        eventually(lambda: not empty.execute("SELECT 1 FROM pg_stat_activity WHERE starts_with(query, 'CREATE INDEX')"))
        assert empty.execute("SELECT indisvalid FROM pg_index WHERE NOT indisvalid")
    bootstrap()
    assert empty.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []


def test_a_connection_that_the_server_ends_is_told_as_such(empty: Service) -> None:
    """The connection ends while an index is built. A failure of the clean-up does not hide the reason."""
    from background.setup.schema import migrate

    migrate("0003")
    with psycopg.connect(empty.conninfo) as writer, ThreadPoolExecutor() as pool:
        writer.execute("UPDATE users SET status = 0")
        running = pool.submit(bootstrap)
        ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(query, 'CREATE INDEX')"
        eventually(lambda: empty.execute(ending))
        with refused("cannot be used, .*terminating connection.*goes on from there"):
            running.result(30)
    assert bootstrap()["administrator"] == "made the administrator"
