"""Bringing the database to this version's schema (contract §6), by Alembic, with its own table ``users_migrations``.

Forward only. An advisory lock makes two runs at once safe; every step can be repeated, so that a run goes on where a
killed one ended. Upstream's ``gorp_migrations`` is read, never written. Alembic, which takes long to import, is asked
only where the version in the table is not the newest there is.

The tables may be in use: no statement waits longer than ``LOCK_TIMEOUT`` for a lock, because all later queries would
queue up behind it. It gives up, lets them pass, and is tried again for ``PATIENCE`` seconds.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TypeVar

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import scalar_row

from background.setup.live_tables import LOCK_TIMEOUT
from background.setup.preflight import DatabaseUnfit, check_server, check_tables
from background.setup.time_limit import limited
from background.setup.versions import VERSION_TABLE, newest_version
from users.aws.secrets import secret
from users.repository.database import conninfo
from users.settings import settings
from users.telemetry.log import logger

PATIENCE = 600.0  # seconds
_PAUSE = 3.0  # seconds
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

    Raises DatabaseUnfit, UnknownVersion, or psycopg.Error when a step fails; steps done before it stay done.
    """
    with exclusive() as connection:
        return upgrade(connection, target)


@contextmanager
def exclusive(seconds: float | None = None) -> Iterator[psycopg.Connection]:
    """A connection, in autocommit, for work that nobody else does at the same time.

    OutOfTime when it takes more than ``seconds``; DatabaseUnfit when the server is none to work with.
    """
    with closing(_connect()) as connection, limited(connection, seconds):
        check_server(connection)
        with _locked(connection):
            yield connection


def upgrade(connection: psycopg.Connection, target: str = "head") -> str:
    """What ``migrate`` does, on a connection of ``exclusive``."""
    versions, newest = _versions(connection), newest_version()
    if not versions:
        check_tables(connection)
    if versions != [newest]:
        from background.setup.alembic_run import run  # Alembic takes 250 ms to import

        patiently(connection, lambda: run(connection, target))
    limit_role(connection, sql.SQL("CURRENT_USER"))
    return newest


def patiently(connection: psycopg.Connection, work: Callable[[], T]) -> T:
    """Do it again and again while locks of others are in its way; DatabaseUnfit tells whose, in the end."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except (pg.LockNotAvailable, pg.DeadlockDetected) as error:
            if time.monotonic() > end:
                raise DatabaseUnfit(_told_blocker(connection)) from error
            logger.warning("waiting for transactions of others to end")
            time.sleep(_PAUSE)


def _connect() -> psycopg.Connection:
    """A connection of the tables' owner without its limits: a migration takes the time it takes."""
    connection = psycopg.connect(_owners_conninfo(), autocommit=True)
    connection.execute(
        f"SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '{LOCK_TIMEOUT}'"
    )
    return connection


def _owners_conninfo() -> str:
    """Where ``MG_USERS_DB_OWNER`` is set, that role; else the one that the functions use."""
    owner = settings().db_owner
    return make_conninfo(conninfo(), user=owner, password=secret(settings().db_owner_pass)) if owner else conninfo()


def _versions(connection: psycopg.Connection) -> list[str]:
    """What the database says was done last: one version, none before the first migration."""
    try:
        return connection.cursor(row_factory=scalar_row).execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()
    except pg.UndefinedTable:
        return []


@contextmanager
def _locked(connection: psycopg.Connection) -> Iterator[None]:
    # Polled: a statement that waits for the lock would hold a snapshot, for which CREATE INDEX CONCURRENTLY waits.
    waits = False
    while not connection.cursor(row_factory=scalar_row).execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone():
        if not waits:
            logger.warning("waiting for another bootstrap to end")
        waits = True
        time.sleep(_LOCK_POLL)
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # the lock ends with the connection
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def _told_blocker(connection: psycopg.Connection) -> str:
    found = connection.execute(_BLOCKERS).fetchone()
    if found is None:
        return "the table users was locked by others again and again: run bootstrap when there is less to do"
    pid, application, since = found
    name = f" ({application})" if application else ""
    return (
        f"a transaction of process {pid}{name}, which began {since}, keeps the table users locked:"
        f" end it, for example by SELECT pg_terminate_backend({pid}), and run bootstrap again"
    )


def limit_role(connection: psycopg.Connection, role: sql.Composable) -> None:
    """Set the time limits of a role, so that functions need no SET (RDS Proxy would pin the connection)."""
    database = connection.cursor(row_factory=scalar_row).execute("SELECT current_database()").fetchone() or ""
    statement = sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}")
    with connection.transaction():
        for name, value in (
            ("statement_timeout", _STATEMENT_TIMEOUT),
            ("idle_in_transaction_session_timeout", _IDLE_IN_TRANSACTION_TIMEOUT),
        ):
            parts = (role, sql.Identifier(database), sql.Identifier(name), sql.Literal(value))
            connection.execute(statement.format(*parts))
