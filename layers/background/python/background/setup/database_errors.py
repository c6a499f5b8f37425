"""Errors of the database as sentences that say what to do. They never hold a row's values."""

import psycopg
from psycopg import errors as pg

from users.repository.database import DatabaseUnavailable
from users.settings import settings

_OUT_OF_REACH = ("08", "28", "3D", "57")  # SQLSTATE classes: connection, authentication, database, operator
_ADVICE: dict[type[psycopg.Error], str] = {
    pg.DiskFull: "the database's disk is full ({}): make room, or give it a bigger one",
    pg.TooManyConnections: "the database has no connection left ({}): end some, or raise max_connections",
    pg.ReadOnlySqlTransaction: "the database takes no changes ({}): let MG_USERS_DB_HOST name the primary",
    pg.InsufficientPrivilege: "the role {role} may not do that ({}): let the owner of the database's"
    " tables do it (MG_USERS_DB_OWNER, else MG_USERS_DB_USER), who may create in its schema",
    pg.ConfigurationLimitExceeded: "a limit of the database is reached ({}): raise it, for example temp_file_limit",
    pg.OutOfMemory: "the database is out of memory ({}): give it more, or lower maintenance_work_mem",
}


def advice(error: Exception) -> str:
    """What is the matter with the database, and what to do, for any error that work on it ends with."""
    cause = error.error if isinstance(error, DatabaseUnavailable) else error
    if not isinstance(cause, psycopg.Error):
        return str(error)
    told = cause.diag.message_primary or " ".join(str(cause).split())
    for kind, text in _ADVICE.items():
        if isinstance(cause, kind):
            return text.format(told, role=settings().db_owner or settings().db_user)
    if isinstance(cause, psycopg.OperationalError) and (cause.sqlstate or "08").startswith(_OUT_OF_REACH):
        return f"the database cannot be used, check MG_USERS_DB_* and that it runs: {told}"
    return f"the database refused a step: {told}"
