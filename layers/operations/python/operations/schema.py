"""Bringing the database to this version's schema (contract §6), by Alembic, with its own table ``users_migrations``.

Forward only. An advisory lock makes two runs at once safe. Upstream's ``gorp_migrations`` is read, never written.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from users.database import conninfo

VERSION_TABLE = "users_migrations"
_SCRIPTS = Path(__file__).parent / "migrations"
# Any constant: it names this work among the advisory locks of the database.
_LOCK = 7_213_904_118
_LOCK_POLL = 0.2  # seconds
_STATEMENT_TIMEOUT = "2s"
_IDLE_IN_TRANSACTION_TIMEOUT = "30s"


def migrate(target: str = "head") -> str:
    """Run what is missing up to ``target``, and set the role's time limits. The schema's version afterwards.

    Raises psycopg.Error, or what Alembic raises, when a step fails; steps done before it stay done.
    """
    engine = create_engine("postgresql+psycopg://", creator=_connect, poolclass=NullPool)
    try:
        with engine.connect() as connection, _locked(connection):
            command.upgrade(_config(connection), target)
            _limit_role()
    finally:
        engine.dispose()
    return ScriptDirectory.from_config(_config(None)).get_current_head() or ""


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    return config


def _connect() -> psycopg.Connection:
    """A connection without the role's limits: a migration takes the time it takes."""
    connection = psycopg.connect(conninfo())
    connection.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
    connection.commit()
    return connection


@contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    # Polled: a statement that waits for the lock would hold a snapshot, for which CREATE INDEX CONCURRENTLY waits.
    while not connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).scalar():
        connection.commit()
        time.sleep(_LOCK_POLL)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))
        connection.commit()


def _limit_role() -> None:
    """Time limits belong to the role, so that functions need no SET (RDS Proxy would pin the connection)."""
    with psycopg.connect(conninfo()) as connection:
        for name, value in (
            ("statement_timeout", _STATEMENT_TIMEOUT),
            ("idle_in_transaction_session_timeout", _IDLE_IN_TRANSACTION_TIMEOUT),
        ):
            connection.execute(
                psycopg.sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET {} = {}").format(
                    psycopg.sql.Identifier(connection.info.dbname), psycopg.sql.SQL(name), value
                )
            )
