"""Databases that bootstrap cannot work with: the error names the remedy, and after that the same command succeeds."""

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from local.parts.postgres import PostgresServer, temporary_postgres
from tests.bootstrapping import bootstrap, catalog, empty_service, refused
from tests.service import Service
from tests.takeover import upstream

ROLE = "limited"


@pytest.fixture
def limited(postgres: PostgresServer, shared_service: Service) -> Iterator[Service]:
    """Return a service whose role owns the database and has no other privilege."""
    postgres.ensure_role(ROLE, "unused")
    with empty_service(postgres, shared_service, owner=ROLE) as service:
        yield service


def as_superuser(postgres: PostgresServer, service: Service, statement: str) -> None:
    with psycopg.connect(postgres.conninfo_for(service.environment["MG_USERS_DB_NAME"]), autocommit=True) as connection:
        connection.execute(statement)


# --- connecting


@pytest.mark.long
def test_a_wrong_password_and_a_closed_port(shared_service: Service) -> None:
    with temporary_postgres(port=0) as server:
        server.ensure_role("magistrala", "right")
        server.ensure_database("users", "magistrala")
        variables = {
            "MG_USERS_DB_HOST": "127.0.0.1",
            "MG_USERS_DB_PORT": str(server.port),
            "MG_USERS_DB_USER": "magistrala",
            "MG_USERS_DB_OWNER": "",
            "MG_USERS_DB_PASS": "wrong",
            "MG_USERS_DB_NAME": "users",
            "MG_USERS_ADMIN_PASSWORD": "an operator chose this",
        }
        with shared_service.configured(**variables):
            with refused(r"MG_USERS_DB_\*.*password authentication failed") as raised:
                bootstrap()
            assert "wrong" not in str(raised.value)
        with shared_service.configured(**variables | {"MG_USERS_DB_PASS": "right"}):
            assert bootstrap()["administrator"] == "made the administrator"
    with shared_service.configured(**variables), refused(r"MG_USERS_DB_\*.*refused"):
        bootstrap()


# --- values that fit into no index


def test_a_tag_that_is_too_long_is_told_with_its_account(empty: Service) -> None:
    """In upstream anybody could make such a tag."""
    upstream.make_database(empty.conninfo)
    for user_id, tag in (("long", secrets.token_hex(4000)), ("short", "a")):
        empty.execute(
            "INSERT INTO users (id, email, first_name, last_name, tags) VALUES (%s, %s, '', '', ARRAY[%s])",
            *(user_id, f"{user_id}@example.com", tag),
        )
    with refused(r"the tags of the accounts long: shorten those that are longer than 2000 bytes"):
        bootstrap()
    empty.execute("UPDATE users SET tags = '{}' WHERE id = 'long'")
    assert bootstrap()["administrator"] == "made the administrator"


# --- privileges of the role


def test_an_owner_without_other_privileges_is_enough(limited: Service, shared_service: Service) -> None:
    upstream.make_database(limited.conninfo)
    bootstrap()
    assert catalog(limited) == catalog(shared_service)


@pytest.mark.long
def test_a_role_that_may_not_create(postgres: PostgresServer, limited: Service) -> None:
    as_superuser(postgres, limited, "REVOKE ALL ON SCHEMA public FROM PUBLIC; ALTER SCHEMA public OWNER TO postgres")
    with refused("no schema|may not create tables: GRANT"):
        bootstrap()
    as_superuser(postgres, limited, f"GRANT USAGE, CREATE ON SCHEMA public TO {ROLE}")
    assert bootstrap()["administrator"] == "made the administrator"


def test_tables_of_another_role(postgres: PostgresServer, limited: Service) -> None:
    upstream.make_database(postgres.conninfo_for(limited.environment["MG_USERS_DB_NAME"]))
    with refused(f'"{ROLE}" does not own users, users_verifications.*OWNER TO'):
        bootstrap()
    for table in ("users", "users_verifications", "gorp_migrations"):
        as_superuser(postgres, limited, f"ALTER TABLE {table} OWNER TO {ROLE}")
    assert bootstrap()["administrator"] == "made the administrator"


@pytest.mark.long
def test_a_ledger_that_may_not_be_read(postgres: PostgresServer, limited: Service) -> None:
    upstream.make_database(limited.conninfo)
    as_superuser(postgres, limited, "ALTER TABLE gorp_migrations OWNER TO postgres")
    with refused(f"the role {ROLE} may not do that .permission denied for table gorp_migrations"):
        bootstrap()
    as_superuser(postgres, limited, f"GRANT SELECT ON gorp_migrations TO {ROLE}")
    assert bootstrap()["administrator"] == "made the administrator"


@pytest.mark.long
def test_an_extension_that_the_role_may_not_make(postgres: PostgresServer, limited: Service) -> None:
    name = limited.environment["MG_USERS_DB_NAME"]
    as_superuser(postgres, limited, f"ALTER DATABASE {name} OWNER TO postgres; GRANT CREATE ON SCHEMA public TO {ROLE}")
    with refused("CREATE EXTENSION pg_trgm"):
        bootstrap()
    as_superuser(postgres, limited, "CREATE EXTENSION pg_trgm")
    assert bootstrap()["administrator"] == "made the administrator"


# --- the server


def test_a_server_that_is_too_old(empty: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("background.setup.preflight.OLDEST_SERVER", 990000)
        with refused("is too old: upgrade the server to 99"):
            bootstrap()
    assert bootstrap()["administrator"] == "made the administrator"


@pytest.mark.long
def test_read_only_transactions(postgres: PostgresServer, empty: Service) -> None:
    name = empty.environment["MG_USERS_DB_NAME"]
    setting = f"ALTER DATABASE {name} SET default_transaction_read_only"
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute(f"{setting} = on")
        with refused("read-only.*MG_USERS_DB_HOST"):
            bootstrap()
        connection.execute(f"{setting} = off")
    assert bootstrap()["administrator"] == "made the administrator"


@pytest.mark.long
def test_a_replica(shared_service: Service) -> None:
    with temporary_postgres() as server:
        variables = {"MG_USERS_DB_HOST": server.host, "MG_USERS_DB_NAME": "postgres"}
        server.stop()
        standby = server.data_dir / "standby.signal"
        standby.touch()
        server.start()
        server.wait_ready()
        with shared_service.configured(**variables), refused("is a replica.*MG_USERS_DB_HOST"):
            bootstrap()
        standby.unlink()


@pytest.mark.long
def test_a_limit_of_the_server(postgres: PostgresServer, empty: Service) -> None:
    upstream.make_database(empty.conninfo)
    upstream.fill(empty.conninfo, 5000)
    name = empty.environment["MG_USERS_DB_NAME"]
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET temp_file_limit = 0")
        connection.execute(f"ALTER DATABASE {name} SET work_mem = '64kB'")
        with refused("a limit of the database is reached .*goes on from there"):
            bootstrap()
        connection.execute(f"ALTER DATABASE {name} RESET temp_file_limit")
    assert bootstrap()["accounts"] == 5001


@pytest.mark.long
def test_a_full_disk(shared_service: Service) -> None:
    """The tablespace is on a small file system, for which mount(8) needs root."""
    with temporary_postgres() as server, _small_disk(server) as place, empty_service(server, shared_service) as service:
        name = service.environment["MG_USERS_DB_NAME"]
        with service.configured(MG_USERS_DB_HOST=server.host):
            with psycopg.connect(server.conninfo, autocommit=True) as connection:
                connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
                connection.execute(f"ALTER DATABASE {name} SET TABLESPACE small")
            upstream.make_database(service.conninfo)
            upstream.fill(service.conninfo, 5000)
            free = shutil.disk_usage(place).free
            ballast = place / "ballast"
            ballast.write_bytes(bytes(free - 600_000))
            with refused("disk is full.*make room.*goes on from there"):
                bootstrap()
            ballast.unlink()
            assert bootstrap()["accounts"] == 5001
            assert service.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []


@contextmanager
def _small_disk(server: PostgresServer) -> Iterator[Path]:
    place = server.data_dir.parent / "small"
    place.mkdir()
    owner = server.data_dir.stat().st_uid
    options = f"size=24m,uid={owner},mode=700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False).returncode:
        pytest.skip("may not mount a file system")
    try:
        yield place
    finally:
        server.stop()
        subprocess.run(["umount", place], check=True)
