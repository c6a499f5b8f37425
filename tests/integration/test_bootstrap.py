"""bootstrap: migrations, the first administrator, take-over of upstream's database (contract §4.9, §6; S21)."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import bcrypt
import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from local.parts.postgres import PostgresServer
from tests.http_server import http_server
from tests.service import ROOT, Service, handler, lambda_context

ADMINISTRATOR = {"MG_USERS_ADMIN_EMAIL": "root@example.com", "MG_USERS_ADMIN_PASSWORD": "password of the admin 1"}

# Upstream's final schema as its twelve migrations leave it (contract §6).
UPSTREAM = """
CREATE TABLE gorp_migrations (id text PRIMARY KEY, applied_at timestamptz);
INSERT INTO gorp_migrations SELECT format('clients_%s', to_char(n, 'FM00')), now() FROM generate_series(1, 12) n;
CREATE TABLE users (
    id VARCHAR(36) NOT NULL,
    domain_id VARCHAR(36),
    email VARCHAR(254) NOT NULL,
    secret TEXT,
    tags TEXT[],
    metadata JSONB,
    created_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ,
    updated_by VARCHAR(254),
    status SMALLINT NOT NULL DEFAULT 0 CONSTRAINT clients_status_check CHECK (status >= 0),
    role SMALLINT DEFAULT 0 CONSTRAINT clients_status_check1 CHECK (status >= 0),
    username VARCHAR(254),
    first_name VARCHAR(254) NOT NULL,
    last_name VARCHAR(254) NOT NULL,
    profile_picture TEXT,
    verified_at TIMESTAMPTZ,
    auth_provider VARCHAR(254),
    private_metadata JSONB,
    CONSTRAINT clients_pkey PRIMARY KEY (id),
    CONSTRAINT clients_email_key UNIQUE (email),
    CONSTRAINT clients_username_key UNIQUE (username)
);
CREATE TABLE users_verifications (
    user_id VARCHAR(36) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email VARCHAR(254) NOT NULL,
    otp VARCHAR(255),
    created_at TIMESTAMPTZ,
    expires_at TIMESTAMPTZ,
    used_at TIMESTAMPTZ
);
CREATE INDEX idx_users_verifications_lookup ON users_verifications (user_id, email, created_at DESC);
"""
# What upstream's repository sends at registration (users/postgres/users.go).
UPSTREAM_INSERT = """
INSERT INTO users (id, tags, email, secret, metadata, private_metadata, created_at, status, role, first_name, last_name,
                   username, profile_picture, auth_provider)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
RETURNING id, tags, email, metadata, private_metadata, created_at, status, first_name, last_name, username"""


@pytest.fixture
def empty(postgres: PostgresServer, shared_service: Service) -> Iterator[Service]:
    """A service on a database without anything in it."""
    name = f"empty_{uuid.uuid4().hex}"
    service = Service(
        shared_service.environment | ADMINISTRATOR | {"MG_USERS_DB_NAME": name},
        postgres.create_database(name),
        shared_service.auth_environment,
    )
    with service.configured():
        yield service


@pytest.fixture
def upstream(empty: Service) -> Service:
    """A service on a database that upstream's last release left."""
    with psycopg.connect(empty.conninfo) as connection:
        connection.execute(UPSTREAM)
    return empty


def bootstrap(event: dict[str, Any] | None = None) -> dict[str, str]:
    done: dict[str, str] = handler("bootstrap")(event or {}, lambda_context())
    return done


@contextmanager
def refused(match: str) -> Iterator[None]:
    with pytest.raises(Exception, match=match) as caught:
        yield
    assert type(caught.value).__name__ == "BootstrapFailed"


def schema(service: Service) -> list[dict[str, Any]]:
    return service.execute(
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_schema = 'public' ORDER BY 1, 2"
    )


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
    before = (schema(empty), empty.execute("SELECT * FROM users"), empty.execute("SELECT * FROM users_outbox"))
    assert bootstrap() == first | {"administrator": "an administrator is there already"}
    assert (schema(empty), empty.execute("SELECT * FROM users"), empty.execute("SELECT * FROM users_outbox")) == before


@pytest.mark.parametrize("migrated", [False, True])
def test_several_at_once(empty: Service, migrated: bool) -> None:
    if migrated:
        bootstrap()
        empty.execute("DELETE FROM users")
    program = (
        "import json; from tests.service import handler, lambda_context;"
        " print(json.dumps(handler('bootstrap')({}, lambda_context())))"
    )
    path = ":".join(str(ROOT / part) for part in (".", "layers/common/python", "layers/operations/python"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**empty.environment, "PYTHONPATH": path, "PATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    done = [json.loads(output.splitlines()[-1])["administrator"] for output, _ in outputs]
    assert sorted(done) == ["an administrator is there already"] * 2 + ["made the administrator"]
    assert len(empty.execute("SELECT 1 AS one FROM users")) == 1


def test_an_index_that_a_killed_run_left_invalid_is_made_again(empty: Service) -> None:
    from operations import schema as migrations

    engine = create_engine("postgresql+psycopg://", creator=migrations._connect, poolclass=NullPool)
    with engine.connect() as connection:
        command.upgrade(migrations._config(connection), "0003")
    engine.dispose()
    empty.execute("CREATE INDEX users_updated_order ON users (id)")
    empty.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_updated_order'::regclass")
    bootstrap()
    (row,) = empty.execute(
        "SELECT indisvalid, pg_get_indexdef(indexrelid) AS definition FROM pg_index"
        " WHERE indexrelid = 'users_updated_order'::regclass"
    )
    assert row["indisvalid"]
    assert "COALESCE(updated_at" in row["definition"]


# --- the administrator (operations/admin.py)


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


def test_a_disabled_administrator_stays_disabled(empty: Service) -> None:
    bootstrap()
    empty.execute("UPDATE users SET status = 1")
    assert "no enabled administrator" in bootstrap()["administrator"]
    assert empty.execute("SELECT status FROM users") == [{"status": 1}]


def test_an_account_that_has_the_address_is_not_promoted(empty: Service) -> None:
    bootstrap()
    empty.execute("UPDATE users SET role = 0, email = upper(email)")
    assert "no enabled administrator" in bootstrap()["administrator"]
    assert empty.execute("SELECT role FROM users") == [{"role": 0}]


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


# --- what stops it


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MG_USERS_PASS_REGEX", "("),
        ("MG_USERS_PASS_REGEX", "(?=.*[0-9])"),
        ("MG_USERS_SECRET_KEY", ""),
        ("MG_USERS_SECRET_KEY", "short"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_before_anything_is_done(
    empty: Service, variable: str, value: str
) -> None:
    with empty.configured(**{variable: value}), refused(f"^{variable}: "):
        bootstrap()
    assert schema(empty) == []


@pytest.mark.parametrize(
    "variables",
    [{"MG_USERS_DB_HOST": "/nowhere"}, {"MG_USERS_DB_NAME": "nowhere"}, {"MG_USERS_DB_SSL_MODE": "wrong"}],
    ids=str,
)
def test_a_database_out_of_reach_says_which_variables(empty: Service, variables: dict[str, str]) -> None:
    with empty.configured(**variables), refused(r"MG_USERS_DB_\*"):
        bootstrap()


def test_the_policy_store_away_leaves_the_relation_to_the_outbox(empty: Service) -> None:
    with empty.configured(MG_SPICEDB_PORT="1"):
        assert bootstrap()["administrator"] == "made the administrator"
    (row,) = empty.execute("SELECT payload FROM users_outbox WHERE channel = 'relation'")
    assert row["payload"]["administrator"] is True
    empty.deliver()
    assert empty.execute("SELECT payload FROM users_outbox WHERE channel = 'relation'") == []


def test_a_database_of_a_newer_release_is_left_alone(empty: Service) -> None:
    bootstrap()
    empty.execute("UPDATE users_migrations SET version_num = '9999'")
    with refused("9999"):
        bootstrap()


# --- upstream's database


def upstream_user(service: Service, **changes: Any) -> str:
    """A row as upstream writes it."""
    name = f"u{uuid.uuid4().hex[:8]}"
    row: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "tags": None,
        "email": f"{name}@example.com",
        "secret": bcrypt.hashpw(b"password of upstream", bcrypt.gensalt(4)).decode(),
        "metadata": "{}",
        "private_metadata": "{}",
        "created_at": "2025-01-01T00:00:00Z",
        "status": 0,
        "role": 0,
        "first_name": "Ada",
        "last_name": "L",
        "username": name,
        "profile_picture": None,
        "auth_provider": None,
    } | changes
    (answer,) = service.execute(UPSTREAM_INSERT, *row.values())
    assert answer["email"] == row["email"]
    return str(row["id"])


def test_take_over_in_place(upstream: Service) -> None:
    user = upstream_user(upstream, email="Ada@Example.com", username="Ada.L")
    admin = upstream_user(upstream, role=1, email="root@example.com")
    ledger = upstream.execute("SELECT * FROM gorp_migrations ORDER BY id")
    assert bootstrap()["administrator"] == "an administrator is there already"
    assert upstream.execute("SELECT * FROM gorp_migrations ORDER BY id") == ledger
    assert len(upstream.execute("SELECT id FROM users")) == 2
    for identity in ("Ada@Example.com", "ada@example.com", "Ada.L", "ADA.L"):
        token = upstream.log_in(identity, "password of upstream")
        assert upstream.call("view_profile", token=token).json["id"] == user
    token = upstream.log_in("root@example.com", "password of upstream")
    assert upstream.call("list_users", token=token, query="status=all").json["total"] == 2
    assert upstream.execute("SELECT left(secret, 9) AS kind FROM users WHERE id = %s", admin) == [{"kind": "$argon2id"}]
    assert upstream.call("register_user", {}).status == 400


def test_upstreams_own_insert_still_works(upstream: Service) -> None:
    bootstrap()
    user = upstream_user(upstream, email="new@example.com")
    token = upstream.log_in("NEW@example.com", "password of upstream")
    assert upstream.call("view_profile", token=token).json["id"] == user


def test_the_schema_is_the_same_as_that_of_a_fresh_database(
    upstream: Service, postgres: PostgresServer, shared_service: Service
) -> None:
    bootstrap()
    taken_over = [row for row in schema(upstream) if row["table_name"] != "gorp_migrations"]
    assert taken_over == schema(shared_service)
    constraints = (
        "SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND conrelid <> COALESCE(to_regclass('gorp_migrations'), 0)"
        " ORDER BY 1, 2"
    )
    indexes = (
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'gorp_migrations'"
        " ORDER BY 1"
    )
    for statement in (constraints, indexes):
        assert upstream.execute(statement) == shared_service.execute(statement)


def test_names_that_differ_by_case_only(upstream: Service) -> None:
    old = upstream_user(upstream, email="Same@x.y", created_at="2024-01-01T00:00:00Z", status=1)
    keeper = upstream_user(upstream, email="SAME@x.y", created_at="2024-06-01T00:00:00Z")
    young = upstream_user(upstream, email="same@x.y", created_at="2025-01-01T00:00:00Z")
    alone = upstream_user(upstream)
    nameless = [upstream_user(upstream, username=None) for _ in range(2)]
    bootstrap()
    marked = {row["id"] for row in upstream.execute("SELECT id FROM users WHERE case_conflict")}
    assert marked == {old, young}, "the oldest enabled account keeps the folded name"
    assert not marked & {keeper, alone, *nameless}
    assert upstream.call("view_profile", token=upstream.log_in("sAmE@x.y", "password of upstream")).json["id"] == keeper
    assert upstream.call("view_profile", token=upstream.log_in("same@x.y", "password of upstream")).json["id"] == young


def test_a_role_that_was_never_set_is_an_ordinary_one(upstream: Service) -> None:
    user = upstream_user(upstream, role=None)
    bootstrap()
    assert upstream.execute("SELECT role FROM users WHERE id = %s", user) == [{"role": 0}]


def test_the_grace_periods_begin_with_the_take_over(upstream: Service) -> None:
    disabled = upstream_user(upstream, status=1)
    deleted = upstream_user(upstream, status=2)
    enabled = upstream_user(upstream)
    upstream.execute("UPDATE users SET updated_at = '2020-01-01'")
    bootstrap()
    fresh = "now() - interval '1 hour' < {0} AND {0} <= now()"
    rows = upstream.execute(
        f"SELECT id, {fresh.format('disabled_at')} AS disabled, {fresh.format('deleted_at')} AS deleted FROM users"
        " WHERE role = 0"
    )
    assert {row["id"]: (row["disabled"], row["deleted"]) for row in rows} == {
        disabled: (True, None),
        deleted: (None, True),
        enabled: (None, None),
    }


def test_a_database_of_an_older_upstream_is_refused_untouched(upstream: Service) -> None:
    upstream.execute("DELETE FROM gorp_migrations WHERE id = 'clients_12'")
    before = schema(upstream)
    with refused("clients_12"):
        bootstrap()
    after = [row for row in schema(upstream) if row["table_name"] != "users_migrations"]
    assert after == before


# --- as a CloudFormation custom resource


def custom_resource(url: str, kind: str = "Create") -> dict[str, Any]:
    return {
        "RequestType": kind,
        "ResponseURL": url,
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Bootstrap",
        "ResourceType": "Custom::Bootstrap",
        "ResourceProperties": {},
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
    assert schema(empty) == []


def newer_release(service: Service) -> dict[str, str]:
    bootstrap()
    service.execute("UPDATE users_migrations SET version_num = '9999'")
    return {}


FAILURES: dict[str, Callable[[Service], dict[str, str]]] = {
    "a setting": lambda _: {"MG_USERS_SECRET_KEY": "short"},
    "the database": lambda _: {"MG_USERS_DB_HOST": "/nowhere"},
    "the administrator": lambda _: {"MG_USERS_ADMIN_FIRST_NAME": "x" * 300},
    "a newer release": newer_release,
}


@pytest.mark.parametrize("cause", FAILURES)
def test_cloudformation_is_told_of_failure(empty: Service, cause: str) -> None:
    variables = FAILURES[cause](empty)
    with http_server() as server, empty.configured(**variables):
        bootstrap(custom_resource(server.url))
    document = json.loads(server.received[0].body)
    assert document["Status"] == "FAILED"
    assert document["Reason"]
    assert ADMINISTRATOR["MG_USERS_ADMIN_PASSWORD"] not in document["Reason"]
