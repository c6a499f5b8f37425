"""S66: the functions use a role of the database that reads and writes rows, and can do nothing else.

All tests run the service as this role (tests/conftest.py), so that an operation whose grant is missing fails in them.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import errors as pg
from psycopg import sql

from local.parts.postgres import PostgresServer, temporary_postgres
from tests import sql as sql_as_service
from tests.aws_server import AwsServer
from tests.bootstrapping import ADMINISTRATOR, bootstrap, refused
from tests.people import person
from tests.service import Service
from users.aws import secrets
from users.repository import database

OWNER = "tables_owner"


@pytest.fixture(scope="module")
def password_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that asks for passwords, over TCP."""
    with temporary_postgres(port=0) as server:
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD 'of the owner'")
        yield server


@contextmanager
def deployed(server: PostgresServer, shared: Service, role: str = "", **variables: str) -> Iterator[Service]:
    """A service on an empty database of its own, with an owner and a role for the functions, as a stack makes it."""
    name = f"deployed_{uuid.uuid4().hex}"
    environment = {
        "MG_USERS_DB_HOST": "127.0.0.1",
        "MG_USERS_DB_PORT": str(server.port),
        "MG_USERS_DB_NAME": name,
        "MG_USERS_DB_OWNER": OWNER,
        "MG_USERS_DB_OWNER_PASS": "of the owner",
        "MG_USERS_DB_USER": role or f"functions_{uuid.uuid4().hex}",
        "MG_USERS_DB_PASS": "of the functions",
    }
    server.create_database(name, owner=OWNER)
    service = Service(
        shared.environment | ADMINISTRATOR | environment | variables,
        server.conninfo_for(name),
        shared.auth_environment,
    )
    with service.configured():
        yield service
    server.drop_database(name)


def role_of(service: Service) -> str:
    return service.environment["MG_USERS_DB_USER"]


def run(statement: str) -> None:
    sql_as_service.run(statement, {}, read_only=False)


# --- what the role may do


def test_s66_the_tests_run_as_this_role(service: Service) -> None:
    person(service)
    (found,) = sql_as_service.run(
        "SELECT current_user AS role, rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user",
        {},
        read_only=True,
    )
    assert found == {"role": role_of(service), "rolsuper": False, "rolcreaterole": False, "rolcreatedb": False}


def test_s66_exactly_rows_of_the_services_tables(service: Service) -> None:
    """Of every table that there is, those of later migrations too."""
    held = {
        row["relname"]: set(row["privileges"])
        for row in service.execute(
            "SELECT c.relname, ARRAY(SELECT privilege_type::text FROM aclexplode(c.relacl)"
            " WHERE grantee = %s::regrole) AS privileges FROM pg_class c"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')",
            role_of(service),
        )
    }
    assert held.pop("users_migrations") == set()
    assert {"users", "users_verifications", "users_outbox", "users_one_time_tokens"} <= held.keys()
    assert set(map(frozenset, held.values())) == {frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id text)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE EXTENSION file_fdw",
        "CREATE INDEX ON users (first_name)",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "ALTER TABLE users ADD COLUMN mine text",
        "ALTER TABLE users DISABLE TRIGGER ALL",
        "ALTER TABLE users OWNER TO CURRENT_USER",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "ALTER ROLE postgres PASSWORD 'x'",
        "DROP TABLE users_outbox",
        "DROP INDEX users_tags",
        "TRUNCATE users_outbox",
        "SET ROLE postgres",
        "COPY users TO PROGRAM 'cat'",
        "COPY users FROM '/etc/passwd'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT rolpassword FROM pg_authid",
        "SELECT version_num FROM users_migrations",
        "UPDATE users_migrations SET version_num = '9999'",
    ],
)
def test_s66_nothing_else(service: Service, statement: str) -> None:
    with pytest.raises(pg.InsufficientPrivilege):
        run(statement)


def test_s66_it_hands_nothing_on(service: Service) -> None:
    """PostgreSQL warns only, and grants nothing."""
    run("GRANT SELECT ON users TO PUBLIC")
    granted = "SELECT has_table_privilege('public', 'users', 'SELECT') AS granted"
    assert service.execute(granted) == [{"granted": False}]


# --- how bootstrap makes it


def test_s66_bootstrap_makes_it_and_the_service_works(password_server: PostgresServer, shared_service: Service) -> None:
    with deployed(password_server, shared_service) as service:
        assert bootstrap()["administrator"] == "made the administrator"
        ada = person(service)
        assert service.call("view_profile", token=ada.token).status == 200
        assert service.call("health").status == 200
        with pytest.raises(pg.InsufficientPrivilege):
            run("DROP TABLE users")


def test_s66_its_time_is_limited_as_the_owners(password_server: PostgresServer, shared_service: Service) -> None:
    with deployed(password_server, shared_service):
        bootstrap()
        (row,) = sql_as_service.run(
            "SELECT current_setting('statement_timeout') AS statement,"
            " current_setting('idle_in_transaction_session_timeout') AS idle",
            {},
            read_only=True,
        )
        assert row == {"statement": "2s", "idle": "30s"}


def test_s66_a_new_password_is_set_by_bootstrap(password_server: PostgresServer, shared_service: Service) -> None:
    with deployed(password_server, shared_service) as service:
        bootstrap()
        with service.configured(MG_USERS_DB_PASS="of the functions, rotated"):
            assert service.call("health").status == 503
            bootstrap()
            assert person(service).token
        assert service.call("health").status == 503, "the one before is over"


def test_s66_the_password_does_not_reach_the_servers_log(
    password_server: PostgresServer, shared_service: Service
) -> None:
    with deployed(password_server, shared_service, MG_USERS_DB_PASS="canary-of-the-log") as service:
        service.execute(f"ALTER DATABASE {service.environment['MG_USERS_DB_NAME']} SET log_statement = 'all'")
        bootstrap()
        assert role_of(service) in password_server.log.read_text()
        assert "canary-of-the-log" not in password_server.log.read_text()


def test_s66_what_a_later_migration_makes_is_granted(password_server: PostgresServer, shared_service: Service) -> None:
    """At once, by default privileges; and what was granted beside is taken away by the next bootstrap."""
    with deployed(password_server, shared_service) as service:
        bootstrap()
        with psycopg.connect(service.conninfo, autocommit=True) as connection:
            connection.execute(f"SET ROLE {OWNER}")
            connection.execute("CREATE TABLE users_later (id bigserial PRIMARY KEY, text text)")
            connection.execute(f"GRANT TRUNCATE, TRIGGER ON users_outbox TO {role_of(service)}")
            connection.execute(f"GRANT SELECT ON users_migrations TO {role_of(service)}")
        run("INSERT INTO users_later (text) VALUES ('x')")
        bootstrap()
        run("DELETE FROM users_later")
        for statement in ("TRUNCATE users_outbox", "SELECT FROM users_migrations"):
            with pytest.raises(pg.InsufficientPrivilege):
                run(statement)


def test_s66_a_second_bootstrap_writes_no_grants(password_server: PostgresServer, shared_service: Service) -> None:
    with deployed(password_server, shared_service) as service:
        bootstrap()
        statement = "SELECT xmin::text, relname FROM pg_class WHERE relname LIKE 'users%%' ORDER BY relname"
        before = service.execute(statement)
        bootstrap()
        assert service.execute(statement) == before


def test_s66_the_functions_do_not_need_the_owners_password(
    password_server: PostgresServer, shared_service: Service
) -> None:
    with deployed(password_server, shared_service) as service:
        bootstrap()
        with service.configured(MG_USERS_DB_OWNER="", MG_USERS_DB_OWNER_PASS=""):
            assert person(service).token


@pytest.mark.parametrize(
    ("preparation", "refusal"),
    [
        ("CREATE ROLE {role} LOGIN SUPERUSER", "may not make or change the role|attributes such as SUPERUSER"),
        ("CREATE ROLE {role} LOGIN", "may not make or change the role"),
        ("CREATE ROLE {role} LOGIN; GRANT {role} TO {owner} WITH ADMIN OPTION; GRANT pg_read_all_data TO {role}",
         "member of another role"),
        ("CREATE ROLE {role} LOGIN CREATEDB; GRANT {role} TO {owner} WITH ADMIN OPTION", "attributes such as"),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "may create in the schema"),
        ("GRANT CREATE ON DATABASE {database} TO PUBLIC", "may create schemas"),
    ],
)  # fmt: skip
def test_s66_a_role_that_may_more_is_refused(
    password_server: PostgresServer, shared_service: Service, preparation: str, refusal: str
) -> None:
    with deployed(password_server, shared_service) as service:
        names = {"role": role_of(service), "owner": OWNER, "database": service.environment["MG_USERS_DB_NAME"]}
        service.execute(preparation.format(**names))
        with refused(refusal):
            bootstrap()


def test_s66_an_owner_that_may_make_no_roles_is_told(password_server: PostgresServer, shared_service: Service) -> None:
    with deployed(password_server, shared_service) as service:
        service.execute(f"ALTER ROLE {OWNER} NOCREATEROLE")
        with refused(f'the role "{OWNER}" may not make or change the role .*CREATEROLE'):
            bootstrap()
        service.execute(f"ALTER ROLE {OWNER} CREATEROLE")
        assert bootstrap()["administrator"] == "made the administrator"


@pytest.mark.parametrize(
    ("variables", "refusal"),
    [
        ({"MG_USERS_DB_USER": OWNER}, "MG_USERS_DB_OWNER: must be another role"),
        ({"MG_USERS_DB_PASS": ""}, ""),
    ],
)
def test_s66_two_roles_are_two(
    password_server: PostgresServer, shared_service: Service, variables: dict[str, str], refusal: str
) -> None:
    with deployed(password_server, shared_service) as service, service.configured(**variables):
        if refusal:
            with refused(refusal):
                bootstrap()
        else:  # empty counts as unset, and the documented default is a password
            bootstrap()


def test_s66_an_owner_of_the_tables_need_not_own_the_database(
    password_server: PostgresServer, shared_service: Service
) -> None:
    """With the privileges that docs/deploy.md names."""
    with deployed(password_server, shared_service) as service:
        name = service.environment["MG_USERS_DB_NAME"]
        service.execute(f"ALTER DATABASE {name} OWNER TO postgres")
        service.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}")
        service.execute(f"GRANT ALL ON DATABASE {name} TO {OWNER} WITH GRANT OPTION")
        service.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        bootstrap()
        assert person(service).token


def test_s66_a_rotated_secret_is_set_at_once(
    password_server: PostgresServer, shared_service: Service, tmp_path: Path
) -> None:
    """Though a bootstrap of a moment ago still knows the value before."""
    aws = AwsServer(tmp_path / "log")
    aws.start()
    try:
        aws.wait_ready()
        client = aws.client("secretsmanager")
        arn = client.create_secret(Name="functions", SecretString='{"password": "one"}')["ARN"]
        variables = {"MG_USERS_DB_PASS_SECRET_ARN": f"{arn}:password", "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws.url}
        with deployed(password_server, shared_service, **variables) as service:
            bootstrap()
            client.put_secret_value(SecretId=arn, SecretString='{"password": "two"}')
            bootstrap()
            secrets.forget()
            database.close()
            assert service.call("health").status == 200
    finally:
        aws.stop()


def test_s66_a_name_that_needs_quotes(password_server: PostgresServer, shared_service: Service) -> None:
    name = f'Fun"ctions {uuid.uuid4().hex}'
    with deployed(password_server, shared_service, role=name) as service:
        bootstrap()
        assert person(service).token
        with psycopg.connect(service.conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))
