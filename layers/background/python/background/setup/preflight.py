"""What must be true of a database before anything in it is changed; else DatabaseUnfit says what to do."""

from types import SimpleNamespace

import psycopg
from psycopg.rows import kwargs_row, scalar_row

OLDEST_SERVER = 150000  # as server_version_num says it
OLDEST_UPSTREAM = "clients_07"

# Upstream's columns at OLDEST_UPSTREAM, which all later releases have (contract §6).
_UPSTREAM_COLUMNS = {
    "id": "character varying(36)",
    "email": "character varying(254)",
    "secret": "text",
    "tags": "text[]",
    "metadata": "jsonb",
    "created_at": "timestamp with time zone",
    "updated_at": "timestamp with time zone",
    "updated_by": "character varying(254)",
    "status": "smallint",
    "role": "smallint",
    "username": "character varying(254)",
    "first_name": "character varying(254)",
    "last_name": "character varying(254)",
    "profile_picture": "text",
    "verified_at": "timestamp with time zone",
}
_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod) AS type,
        attnotnull AND NOT atthasdef AND attidentity = '' AS must_be_given
    FROM pg_attribute WHERE attrelid = to_regclass('users') AND attnum > 0 AND NOT attisdropped"""
_SERVER = """
    SELECT current_setting('server_version_num')::int AS version,
        pg_is_in_recovery() AS is_replica,
        current_setting('transaction_read_only') = 'on' AS is_read_only,
        current_user AS role,
        current_schema() AS schema,
        COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
        current_setting('server_encoding') AS encoding,
        (SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c
         WHERE c.oid IN (to_regclass('users'), to_regclass('users_verifications'))
            AND NOT pg_has_role(c.relowner, 'USAGE')) AS foreign_tables,
        EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') AS has_trigrams,
        EXISTS (SELECT FROM pg_available_extension_versions WHERE name = 'pg_trgm'
            AND (NOT superuser OR (trusted AND has_database_privilege(current_database(), 'CREATE'))
                OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))) AS may_have_trigrams"""


class DatabaseUnfit(Exception):
    """The database is none to work with as it is; the message says what to do, and nothing was changed yet."""


def check_server(connection: psycopg.Connection) -> None:
    """Version, read-only state, and the role's privileges."""
    (found,) = connection.cursor(row_factory=kwargs_row(SimpleNamespace)).execute(_SERVER)
    grantee = f'"{found.role}"'
    complaints = {
        f"PostgreSQL {found.version // 10000} is too old: upgrade the server to {OLDEST_SERVER // 10000} or newer": (
            found.version < OLDEST_SERVER
        ),
        "the server is a replica, which takes no changes: let MG_USERS_DB_HOST name the primary": found.is_replica,
        "transactions are read-only here (default_transaction_read_only): let MG_USERS_DB_HOST name a server that"
        " takes changes, or turn the setting off": found.is_read_only,
        "the database's encoding must be UTF8: move the data to one that was made so": found.encoding != "UTF8",
        f"the role {grantee} may not create tables: GRANT USAGE, CREATE ON SCHEMA {found.schema or 'public'} TO"
        f" {grantee}, by the database's owner": not found.may_create,
        f"the role {grantee} does not own {found.foreign_tables}: name their owner in MG_USERS_DB_OWNER (or"
        f" MG_USERS_DB_USER), or ALTER TABLE … OWNER TO {grantee}": found.foreign_tables,
        "the extension pg_trgm is missing and cannot be made by this role: CREATE EXTENSION pg_trgm in this database"
        " by a superuser (the package postgresql-contrib has it)": not (found.has_trigrams or found.may_have_trigrams),
    }
    for complaint, holds in complaints.items():
        if holds:
            raise DatabaseUnfit(complaint)


def check_tables(connection: psycopg.Connection) -> None:
    """That tables, where there are any before our first migration, are Magistrala's since ``OLDEST_UPSTREAM``."""
    advice = "let MG_USERS_DB_NAME name the database of Magistrala's Users service, or an empty one"
    if not _exists(connection, "users"):
        if upstream_migrations(connection) is not None:
            raise DatabaseUnfit(f"gorp_migrations is here, and no table users: {advice}")
        return
    done = upstream_migrations(connection)
    if done is not None and OLDEST_UPSTREAM not in done:
        raise DatabaseUnfit(
            f"this database is of a Magistrala before {OLDEST_UPSTREAM}: let Magistrala's last release migrate it first"
        )
    columns = {row.attname: row for row in connection.cursor(row_factory=kwargs_row(SimpleNamespace)).execute(_COLUMNS)}
    for name, kind in _UPSTREAM_COLUMNS.items():
        if name not in columns or columns[name].type != kind:
            raise DatabaseUnfit(f"the table users is not Magistrala's, it has no column {name} {kind}: {advice}")
    for name, column in columns.items():
        if column.must_be_given and name not in _UPSTREAM_COLUMNS:
            raise DatabaseUnfit(
                f"the table users has a column {name} that Magistrala does not know and that must be given:"
                f" let it have a default, or {advice}"
            )


def upstream_migrations(connection: psycopg.Connection) -> set[str] | None:
    """What upstream's ledger says was done; None without a ledger."""
    if not _exists(connection, "gorp_migrations"):
        return None
    return set(connection.cursor(row_factory=scalar_row).execute("SELECT id FROM gorp_migrations"))


def _exists(connection: psycopg.Connection, table: str) -> bool:
    statement = "SELECT to_regclass(%s) IS NOT NULL"
    return connection.cursor(row_factory=scalar_row).execute(statement, (table,)).fetchone() is True
