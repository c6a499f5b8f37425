"""The connection to PostgreSQL: one per execution environment, and how its errors become the service's.

A statement runs in autocommit: one statement is one transaction and one round trip. There is no ``SET`` and there are
no ``options``, so that RDS Proxy can share connections; timeouts belong to the database role (set by bootstrap). An
idle connection that the server has closed is noticed before it is used, by looking at its socket, not by a ping; so a
write is never sent twice. A read that meets a dying connection is sent once more.

A statement is prepared when a connection runs it for the second time, so that PostgreSQL does not plan it each time
anew. psycopg prepares by messages of the protocol (psycopg.org, "Prepared statements"). RDS Proxy goes on sharing
connections then: it pins them for the SQL commands PREPARE, EXECUTE and DEALLOCATE only (Aurora User Guide, "Avoiding
pinning an RDS Proxy"; AWS Database Blog, "Amazon RDS Proxy multiplexing support for PostgreSQL Extended Query
Protocol"). psycopg lets go of a statement by a message too, where libpq is 17 or newer. With an older libpq it would
send DEALLOCATE, so nothing is prepared there. Names of prepared statements are the same on all connections. A pooler
that does not know them would mix them up, which ``MG_USERS_DB_PREPARE`` is for.

PostgreSQL may plan a prepared statement without its values. A statement whose best plan depends on them, as those of
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
from users.settings import settings
from users.snapstart import not_in_snapshots
from users.telemetry.tracing import statement_span

Parameters = Mapping[str, Any]

# Which unique constraint says what (contract §2.3; 409 by differences.md#statuses). Ours are folded by lower().
_CONFLICTS = {
    "clients_email_key": ("email_taken", "email id already registered"),
    "users_email_folded_key": ("email_taken", "email id already registered"),
    "clients_username_key": ("username_taken", "username not available"),
    "users_username_folded_key": ("username_taken", "username not available"),
}

# How often a connection runs a statement unprepared; None: always. The first preparation costs one round trip more.
PREPARE_AFTER: int | None = 1
_MOST_PREPARED = 50  # of one connection; PostgreSQL holds up to 0.5 MB for each

_connection: psycopg.Connection[DictRow] | None = None


class QueryTooExpensive(Unavailable):
    """The role's ``statement_timeout`` ended the statement."""

    def __init__(self) -> None:
        super().__init__("database")


def conninfo() -> str:
    """libpq's connection string of ``MG_USERS_DB_*``, with client-side limits only."""
    s = settings()
    return make_conninfo(
        host=s.db_host,
        port=s.db_port,
        user=s.db_user,
        password=secret("db_pass"),
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
    """Close the connection, if there is one; the next statement opens another."""
    global _connection  # noqa: PLW0603 -- the one connection of this execution environment
    if _connection is not None:
        _connection.close()
        _connection = None


def query(statement: str, parameters: Parameters, *, read_only: bool, prepare: bool | None = None) -> list[DictRow]:
    """Run one statement and return its rows as dicts.

    ``read_only`` statements are sent once more when the connection dies under them. With ``prepare`` False the
    statement is planned for its values each time. Raises Unavailable when the database cannot be had, Conflict for a
    taken e-mail or username, BadRequest for a value that no column can hold, QueryTooExpensive when the statement timed
    out.
    """
    with statement_span():
        return _query(statement, parameters, read_only, prepare)


@needed
def _answers() -> None:
    """Raise Unavailable unless the tables can be read."""
    query("SELECT 1 FROM users LIMIT 1", {}, read_only=True)


def _query(statement: str, parameters: Parameters, read_only: bool, prepare: bool | None) -> list[DictRow]:
    try:
        return _send(lambda: _run(_connected(), statement, parameters, prepare), read_only=read_only)
    except pg.QueryCanceled as error:
        raise QueryTooExpensive from error
    except (pg.ProgramLimitExceeded, pg.StatementTooComplex) as error:
        # A value that no index can hold, for instance. psycopg counts it among the troubles of the server.
        raise BadRequest("malformed_entity", "malformed entity specification") from error
    except (
        psycopg.OperationalError,
        pg.ReadOnlySqlTransaction,
        pg.UndefinedTable,
        pg.UndefinedColumn,
    ) as error:
        close()
        raise Unavailable("database") from error
    except pg.UniqueViolation as error:
        if error.diag.constraint_name not in _CONFLICTS:
            raise
        raise Conflict(*_CONFLICTS[error.diag.constraint_name]) from error
    except psycopg.DataError as error:
        # Validation names what it can; this is the net under it (NUL bytes, values out of range).
        raise BadRequest("malformed_entity", "malformed entity specification") from error


def _send(run: Callable[[], list[DictRow]], *, read_only: bool) -> list[DictRow]:
    """Run, and once more where that is safe."""
    try:
        return run()
    except pg.DeadlockDetected:
        return run()  # the server undid it whole
    except (pg.FeatureNotSupported, pg.InvalidSqlStatementName):
        # A migration changed what a prepared statement returns, or a proxy has lost the statement. The server has
        # executed nothing. A new connection knows no prepared statements.
        close()
        return run()
    except psycopg.OperationalError:
        if not read_only or _connection is None or not _connection.closed:
            raise
        return run()


def _run(
    connection: psycopg.Connection[DictRow], statement: str, parameters: Parameters, prepare: bool | None
) -> list[DictRow]:
    cursor = connection.execute(statement, parameters, prepare=prepare)
    return cursor.fetchall() if cursor.description else []


def _connected() -> psycopg.Connection[DictRow]:
    global _connection  # noqa: PLW0603 -- see close()
    if _connection is not None and _was_closed_by_server(_connection):
        close()
    if _connection is None:
        try:
            _connection = _connect()
        except psycopg.OperationalError as error:
            # Rotated since it was read. Asked by libpq's flag, because there is no SQLSTATE before the connection is.
            if not (error.pgconn and error.pgconn.used_password and has_changed("db_pass")):
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
    """Whether an idle connection is gone: a server has nothing to say unasked, except when it hangs up.

    Its last words may come before the end of the stream does, so that they count as the end.
    """
    if connection.closed or connection.pgconn.status != psycopg.pq.ConnStatus.OK:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
