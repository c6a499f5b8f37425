"""Messages for errors of the database, with the operator's next step. They never contain a row's values."""

import psycopg
from psycopg import errors as pg

from users.repository.database import DatabaseUnavailable
from users.settings import settings

_OUT_OF_REACH = ("08", "28", "3D", "57")  # SQLSTATE classes: connection, authentication, database, operator
_ADVICE: dict[type[psycopg.Error], str] = {
    pg.DiskFull: "the database's disk is full ({}): make room, or use a bigger disk",
    pg.TooManyConnections: "the database has no connection left ({}): end connections, or raise max_connections",
    pg.ReadOnlySqlTransaction: "the database accepts no changes ({}): set MG_USERS_DB_HOST to the primary",
    pg.InsufficientPrivilege: "the role {role} may not do that ({}): set MG_USERS_DB_OWNER (or"
    " MG_USERS_DB_USER) to the tables' owner, with the right to create in their schema",
    pg.ConfigurationLimitExceeded: "a limit of the database is reached ({}): raise it, for example temp_file_limit",
    pg.OutOfMemory: "the database is out of memory ({}): add memory, or lower maintenance_work_mem",
}


def advice(error: Exception) -> str:
    """Return the problem of the database and the next step, for any error of work on the database."""
    cause = error.error if isinstance(error, DatabaseUnavailable) else error
    if not isinstance(cause, psycopg.Error):
        return str(error)
    message = cause.diag.message_primary or " ".join(str(cause).split())
    for kind, text in _ADVICE.items():
        if isinstance(cause, kind):
            return text.format(message, role=settings().db_owner or settings().db_user)
    if isinstance(cause, psycopg.OperationalError) and (cause.sqlstate or "08").startswith(_OUT_OF_REACH):
        return f"the database cannot be used, check MG_USERS_DB_* and that it runs: {message}"
    return f"the database refused a step: {message}"
