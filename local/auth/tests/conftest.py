"""Fixtures: one PostgreSQL for each test process, one service for each way to run it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from local.auth.tests.process import AuthProcess, environment, new_user
from local.parts.postgres import PostgresServer, temporary_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Starter = Callable[..., AuthProcess]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL for all tests of this process."""
    with temporary_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def start_auth(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Start services with changed variables, each with its own database and keys by default."""
    started: list[AuthProcess] = []

    def start(*, ready: bool = True, **changes: str) -> AuthProcess:
        directory = tmp_path_factory.mktemp("auth")
        database = changes.pop("MG_AUTH_DB_URL", None) or postgres.create_database(f"auth_{uuid.uuid4().hex}")
        process = AuthProcess(environment(database, directory / "keys", **changes), directory / "log")
        started.append(process)
        return process.wait_ready() if ready else process

    yield start
    for process in started:
        if process.process.poll() is None:
            process.stop()
        elif process.process.stdout is not None:
            process.process.stdout.close()


@pytest.fixture(scope="session")
def auth(start_auth: Starter) -> AuthProcess:
    """Start the service with defaults: EdDSA, and upstream's weaknesses."""
    return start_auth()


@pytest.fixture(scope="session")
def strict(start_auth: Starter) -> AuthProcess:
    """Start the service with AUTH_STRICT=1."""
    return start_auth(AUTH_STRICT="1")


@pytest.fixture(scope="session")
def hs512(start_auth: Starter) -> AuthProcess:
    """Start the service with a shared secret."""
    return start_auth(MG_AUTH_KEYS_ALGORITHM="HS512", MG_AUTH_SECRET_KEY="secret-of-the-tests")  # noqa: S106


@pytest.fixture
def member(auth: AuthProcess) -> str:
    """Return a user with the relation that registration writes."""
    user = new_user()
    auth.grant(user, "member")
    return user


@pytest.fixture
def admin(auth: AuthProcess) -> str:
    """Return a user who is administrator and member."""
    user = new_user()
    auth.grant(user, "member", "administrator")
    return user
