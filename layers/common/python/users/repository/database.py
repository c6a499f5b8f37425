"""The connection to PostgreSQL: one for each execution environment. Its errors become the service's errors.

Statements run in autocommit: one statement is one transaction and one round trip. The code sends no ``SET`` and no
``options``, so RDS Proxy can share connections. Timeouts belong to the database role, where bootstrap sets them. Before
each statement the code looks at the socket of an idle connection, and opens another one where the server has closed it.
No ping is needed, and no write is sent twice. A read is sent again when the connection dies under it.

A connection prepares a statement when it runs it for the second time. PostgreSQL then plans the statement once and not
each time. psycopg prepares by messages of the protocol (psycopg.org, "Prepared statements"). RDS Proxy can still share
such connections: only the SQL commands PREPARE, EXECUTE and DEALLOCATE pin them (Aurora User Guide, "Avoiding pinning
an RDS Proxy"; AWS Database Blog, "Amazon RDS Proxy multiplexing support for PostgreSQL Extended Query Protocol"). With
libpq 17 or newer, psycopg also drops a statement by a message. With an older libpq it would send DEALLOCATE, so the
code prepares nothing there. The names of prepared statements are the same on all connections. A pooler that does not
track prepared statements would mix them up: ``MG_USERS_DB_PREPARE`` turns preparing off.

PostgreSQL may plan a prepared statement without its values. A statement whose best plan depends on its values, as in
lists and searches, is sent with ``prepare=False``. So is a statement with many texts.
"""

import select
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from psycopg import capabilities
from psycopg import errors as pg
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

from users.aws.secrets import has_changed, secret
from users.errors import BadRequest, Conflict, Unavailable
from users.readiness import needed
from users.repository.statements import Statement
from users.settings import settings
from users.snapstart import not_in_snapshots
from users.telemetry.tracing import statement_span

Parameters = Mapping[str, Any]

# Unique constraints and the refusals that they mean (contract §2.3; 409 by differences.md#statuses). `folded` is
# lower().
_CONFLICTS = {
    "clients_email_key": ("email_taken", "email id already registered"),
    "users_email_folded_key": ("email_taken", "email id already registered"),
    "clients_username_key": ("username_taken", "username not available"),
    "users_username_folded_key": ("username_taken", "username not available"),
}

# How often a connection runs a statement before it prepares it; None: it never prepares. Preparing costs a round trip.
PREPARE_AFTER: int | None = 1
_MOST_PREPARED = 50  # statements of a connection; PostgreSQL holds up to 0.5 MB for each

_READ_TABLE = Statement("read_table", "SELECT 1 FROM users LIMIT 1")

_connection: psycopg.Connection[DictRow] | None = None


class DatabaseUnavailable(Unavailable):
    """``error`` is psycopg's. Its text may contain values, so it is not for logs."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__("database", " ".join(filter(None, (type(error).__name__, error.sqlstate))))
        self.error = error


class QueryTooExpensive(DatabaseUnavailable):
    """The role's ``statement_timeout`` ended the statement."""


def conninfo() -> str:
    """Return libpq's connection string for ``MG_USERS_DB_*``. Its limits are those of the client."""
    s = settings()
    return make_conninfo(
        host=s.db_host,
        port=s.db_port,
        user=s.db_user,
        password=secret(s.db_pass),
        dbname=s.db_name,
        sslmode=s.db_ssl_mode,
        sslcert=s.db_ssl_cert or None,
        sslkey=s.db_ssl_key or None,
        sslrootcert=s.db_ssl_root_cert or None,
        application_name="users",
        connect_timeout=3,
        keepalives_idle=30,
        tcp_user_timeout=5000,
    )


@not_in_snapshots
def close() -> None:
    """Close the connection, if there is one. The next statement opens another one."""
    global _connection  # noqa: PLW0603 -- the one connection of this execution environment
    if _connection is not None:
        _connection.close()
        _connection = None


def query(
    statement: Statement, parameters: Parameters, *, read_only: bool, prepare: bool | None = None
) -> list[DictRow]:
    """Run a statement and return its rows as dicts.

    A ``read_only`` statement is sent again when the connection dies under it. With ``prepare`` False PostgreSQL plans
    the statement for its values each time. Raises Unavailable when the database does not answer, Conflict for a taken
    e-mail address or username, BadRequest for a value that no column can hold, QueryTooExpensive when the statement
    timed out, Unfit for parameters that the statement does not have.
    """
    statement.check(parameters)
    with statement_span(statement.name):
        return _query(statement.text, parameters, read_only, prepare)


@needed
def _answers() -> None:
    """Raise Unavailable unless the tables can be read."""
    query(_READ_TABLE, {}, read_only=True)


def _query(text: str, parameters: Parameters, read_only: bool, prepare: bool | None) -> list[DictRow]:
    try:
        return _send(lambda: _run(_connected(), text, parameters, prepare), read_only=read_only)
    except pg.QueryCanceled as error:
        raise QueryTooExpensive(error) from error
    except (pg.ProgramLimitExceeded, pg.StatementTooComplex) as error:
        # For example, a value that no index can hold. psycopg raises an OperationalError for it.
        raise BadRequest("malformed_entity", "malformed entity specification") from error
    except (
        psycopg.OperationalError,
        pg.ReadOnlySqlTransaction,
        pg.UndefinedTable,
        pg.UndefinedColumn,
    ) as error:
        close()
        raise DatabaseUnavailable(error) from error
    except pg.UniqueViolation as error:
        if error.diag.constraint_name not in _CONFLICTS:
            raise
        raise Conflict(*_CONFLICTS[error.diag.constraint_name]) from error
    except psycopg.DataError as error:
        # Validation refuses most of these values with a better message. NUL bytes and values out of range come here.
        raise BadRequest("malformed_entity", "malformed entity specification") from error


def _send(run: Callable[[], list[DictRow]], *, read_only: bool) -> list[DictRow]:
    """Run, and run again where that is safe."""
    try:
        return run()
    except pg.DeadlockDetected:
        return run()  # the server has rolled the statement back
    except (pg.FeatureNotSupported, pg.InvalidSqlStatementName):
        # A migration changed the columns of a prepared statement, or a proxy has lost the statement. The server has
        # executed nothing. A new connection has no prepared statements.
        close()
        return run()
    except psycopg.OperationalError:
        if not read_only or _connection is None or not _connection.closed:
            raise
        return run()


def _run(
    connection: psycopg.Connection[DictRow], text: str, parameters: Parameters, prepare: bool | None
) -> list[DictRow]:
    cursor = connection.execute(text, parameters, prepare=prepare)
    return cursor.fetchall() if cursor.description else []


def _connected() -> psycopg.Connection[DictRow]:
    global _connection  # noqa: PLW0603 -- see close()
    if _connection is not None and _was_closed_by_server(_connection):
        close()
    if _connection is None:
        try:
            _connection = _connect()
        except psycopg.OperationalError as error:
            # The password may have been rotated since it was read. A connection that failed has no SQLSTATE, so the
            # code asks libpq whether the server wanted a password.
            if not (error.pgconn and error.pgconn.used_password and has_changed(settings().db_pass)):
                raise
            _connection = _connect()
    return _connection


def _connect() -> psycopg.Connection[DictRow]:
    prepares = settings().db_prepare and capabilities.has_send_close_prepared()
    threshold = PREPARE_AFTER if prepares else None
    connection = psycopg.connect(conninfo(), autocommit=True, prepare_threshold=threshold, row_factory=dict_row)
    connection.prepared_max = _MOST_PREPARED
    return connection


def _was_closed_by_server(connection: psycopg.Connection[DictRow]) -> bool:
    """Return whether the server has closed an idle connection.

    An idle server sends nothing, so readable data means that it is closing: first an error message, then end of file.
    """
    if connection.closed or connection.pgconn.status != psycopg.pq.ConnStatus.OK:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
