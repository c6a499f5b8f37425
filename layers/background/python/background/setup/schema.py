"""The upgrade of the database to this release's schema (contract §6), by Alembic, in the table ``users_migrations``.

Versions only go forward. An advisory lock makes two runs at once safe. Every step can run again, so that a run goes on
where a killed run ended. Upstream's ``gorp_migrations`` is read, never written. Alembic takes long to import, and runs
only if the version in the table is not the newest.

The tables may be in use. No statement waits longer than ``LOCK_TIMEOUT`` for a lock, because all later queries would
wait behind it. The statement then fails, lets them pass, and runs again, for ``PATIENCE`` seconds.
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
# An arbitrary constant that identifies this work among the advisory locks of the database.
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
    """Run the missing migrations up to ``target``, and set the role's time limits. Return the newest version.

    Raise DatabaseUnfit, UnknownVersion, or psycopg.Error when a step fails. Earlier steps stay done.
    """
    with exclusive() as connection:
        return upgrade(connection, target)


@contextmanager
def exclusive(seconds: float | None = None) -> Iterator[psycopg.Connection]:
    """Yield a connection in autocommit, to one run at a time.

    OutOfTime when the work takes more than ``seconds``. DatabaseUnfit when the server cannot be used.
    """
    with closing(_connect()) as connection, limited(connection, seconds):
        check_server(connection)
        with _locked(connection):
            yield connection


def upgrade(connection: psycopg.Connection, target: str = "head") -> str:
    """Do the work of ``migrate`` on a connection of ``exclusive``."""
    versions, newest = _versions(connection), newest_version()
    if not versions:
        check_tables(connection)
    if versions != [newest]:
        from background.setup.alembic_run import run  # Alembic takes 250 ms to import

        patiently(connection, lambda: run(connection, target))
    limit_role(connection, sql.SQL("CURRENT_USER"))
    return newest


def patiently(connection: psycopg.Connection, work: Callable[[], T]) -> T:
    """Repeat the work while other transactions lock its tables. In the end, DatabaseUnfit names such a transaction."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except (pg.LockNotAvailable, pg.DeadlockDetected) as error:
            if time.monotonic() > end:
                raise DatabaseUnfit(_blocker(connection)) from error
            logger.warning("waiting for transactions of others to end")
            time.sleep(_PAUSE)


def _connect() -> psycopg.Connection:
    """Open a connection of the tables' owner without the role's time limits, because a migration may take long."""
    connection = psycopg.connect(_owners_conninfo(), autocommit=True)
    connection.execute(
        f"SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '{LOCK_TIMEOUT}'"
    )
    return connection


def _owners_conninfo() -> str:
    """Return the connection string of ``MG_USERS_DB_OWNER`` if it is set, else of the functions' role."""
    owner = settings().db_owner
    return make_conninfo(conninfo(), user=owner, password=secret(settings().db_owner_pass)) if owner else conninfo()


def _versions(connection: psycopg.Connection) -> list[str]:
    """Return the database's version, [] before the first migration."""
    try:
        return connection.cursor(row_factory=scalar_row).execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()
    except pg.UndefinedTable:
        return []


@contextmanager
def _locked(connection: psycopg.Connection) -> Iterator[None]:
    # Polled, because a statement that waits for the lock would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for
    # all snapshots.
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


def _blocker(connection: psycopg.Connection) -> str:
    """Return a sentence about a transaction that locks the table, with the next step."""
    found = connection.execute(_BLOCKERS).fetchone()
    if found is None:
        return "other transactions locked the table users again and again: run bootstrap at a time with less load"
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
