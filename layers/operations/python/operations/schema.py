"""Bringing the database to this version's schema (contract §6), by Alembic, with its own table ``users_migrations``.

Forward only. An advisory lock makes two runs at once safe; every step can be repeated, so that a run goes on where a
killed one ended. Upstream's ``gorp_migrations`` is read, never written.

The tables may be in use: no statement waits longer than ``LOCK_TIMEOUT`` for a lock, because all later queries would
queue up behind it. It gives up, lets them pass, and is tried again for ``PATIENCE`` seconds.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import errors as pg
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from operations.live_tables import LOCK_TIMEOUT
from operations.preflight import DatabaseUnfit, check_server, check_tables
from operations.time_limit import limited
from users.database import conninfo
from users.log import logger

VERSION_TABLE = "users_migrations"
PATIENCE = 600.0  # seconds
_PAUSE = 3.0  # seconds
_SCRIPTS = Path(__file__).parent / "migrations"
# Any constant: it names this work among the advisory locks of the database.
_LOCK = 7_213_904_118
_LOCK_POLL = 0.2  # seconds
_STATEMENT_TIMEOUT = "2s"
_IDLE_IN_TRANSACTION_TIMEOUT = "30s"
_BLOCKERS = """
    SELECT a.pid, a.application_name, to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.granted AND l.relation = to_regclass('users') AND a.pid <> pg_backend_pid()
    ORDER BY a.xact_start LIMIT 1"""

T = TypeVar("T")


def migrate(target: str = "head") -> str:
    """Run what is missing up to ``target``, and set the role's time limits. The newest version there is.

    Raises DatabaseUnfit, SQLAlchemyError, or what Alembic raises, when a step fails; steps done before it stay done.
    """
    with exclusive() as connection:
        return upgrade(connection, target)


@contextmanager
def exclusive(seconds: float | None = None) -> Iterator[Connection]:
    """A connection for work that nobody else does at the same time; OutOfTime when it takes more than ``seconds``.

    DatabaseUnfit when the server is none to work with.
    """
    engine = create_engine("postgresql+psycopg://", creator=_connect, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            with limited(driver, seconds):
                check_server(connection)
                with _locked(connection):
                    yield connection
    finally:
        engine.dispose()


def upgrade(connection: Connection, target: str = "head") -> str:
    """What ``migrate`` does, on a connection of ``exclusive``."""
    config = _config(connection)
    check_tables(connection, VERSION_TABLE)
    connection.commit()
    patiently(connection, lambda: command.upgrade(config, target))
    _limit_role(connection)
    return ScriptDirectory.from_config(config).get_current_head() or ""


def patiently(connection: Connection, work: Callable[[], T]) -> T:
    """Do it again and again while locks of others are in its way; DatabaseUnfit tells whose, in the end."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except OperationalError as error:
            if not isinstance(error.orig, pg.LockNotAvailable | pg.DeadlockDetected):
                raise
            connection.rollback()
            if time.monotonic() > end:
                raise DatabaseUnfit(_told_blocker(connection)) from error
            logger.warning("waiting for transactions of others to end")
            time.sleep(_PAUSE)


@contextmanager
def statement_by_statement(connection: Connection) -> Iterator[None]:
    """Each statement of the block is a transaction of its own."""
    connection.rollback()
    level = connection.get_isolation_level()
    connection.execution_options(isolation_level="AUTOCOMMIT")
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # the connection may be gone, and that is told already
            connection.rollback()
            connection.execution_options(isolation_level=level)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    return config


def _connect() -> psycopg.Connection:
    """A connection without the role's limits: a migration takes the time it takes."""
    connection = psycopg.connect(conninfo(), autocommit=True)
    connection.execute(
        f"SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '{LOCK_TIMEOUT}'"
    )
    connection.autocommit = False
    return connection


@contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    # Polled: a statement that waits for the lock would hold a snapshot, for which CREATE INDEX CONCURRENTLY waits.
    waits = False
    while not connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).scalar():
        connection.commit()
        if not waits:
            logger.warning("waiting for another bootstrap to end")
        waits = True
        time.sleep(_LOCK_POLL)
    connection.commit()
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # the lock ends with the connection
            connection.rollback()
            connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))
            connection.commit()


def _told_blocker(connection: Connection) -> str:
    found = connection.exec_driver_sql(_BLOCKERS).first()
    connection.rollback()
    if found is None:
        return "the table users was locked by others again and again: run bootstrap when there is less to do"
    pid, application, since = found
    name = f" ({application})" if application else ""
    return (
        f"a transaction of process {pid}{name}, which began {since}, keeps the table users locked:"
        f" end it, for example by SELECT pg_terminate_backend({pid}), and run bootstrap again"
    )


def _limit_role(connection: Connection) -> None:
    """Time limits belong to the role, so that functions need no SET (RDS Proxy would pin the connection)."""
    database = connection.exec_driver_sql("SELECT quote_ident(current_database())").scalar()
    for name, value in (
        ("statement_timeout", _STATEMENT_TIMEOUT),
        ("idle_in_transaction_session_timeout", _IDLE_IN_TRANSACTION_TIMEOUT),
    ):
        connection.exec_driver_sql(f"ALTER ROLE CURRENT_USER IN DATABASE {database} SET {name} = '{value}'")
    connection.commit()
