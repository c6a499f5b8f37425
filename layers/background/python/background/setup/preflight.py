"""Checks of a database before any change. DatabaseUnfit contains the operator's next step."""

from types import SimpleNamespace

import psycopg
from psycopg.rows import kwargs_row, scalar_row

OLDEST_SERVER = 150000  # a value of server_version_num
OLDEST_UPSTREAM = "clients_07"

# Upstream's columns at OLDEST_UPSTREAM and in all later releases (contract §6).
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
    """The database cannot be used as it is. Nothing was changed. The message contains the next step."""


def check_server(connection: psycopg.Connection) -> None:
    """Check the server's version and read-only state, and the role's privileges."""
    (found,) = connection.cursor(row_factory=kwargs_row(SimpleNamespace)).execute(_SERVER)
    grantee = f'"{found.role}"'
    complaints = {
        f"PostgreSQL {found.version // 10000} is too old: upgrade the server to {OLDEST_SERVER // 10000} or newer": (
            found.version < OLDEST_SERVER
        ),
        "the server is a replica, which accepts no changes: set MG_USERS_DB_HOST to the primary": found.is_replica,
        "transactions are read-only here (default_transaction_read_only): set MG_USERS_DB_HOST to a server that"
        " accepts changes, or turn the setting off": found.is_read_only,
        "the database's encoding must be UTF8: move the data to a database with it": found.encoding != "UTF8",
        f"the role {grantee} may not create tables: GRANT USAGE, CREATE ON SCHEMA {found.schema or 'public'} TO"
        f" {grantee}, as the database's owner": not found.may_create,
        f"the role {grantee} does not own {found.foreign_tables}: set MG_USERS_DB_OWNER (or MG_USERS_DB_USER) to their"
        f" owner, or ALTER TABLE … OWNER TO {grantee}": found.foreign_tables,
        "the extension pg_trgm is missing, and this role cannot create it: CREATE EXTENSION pg_trgm in this database as"
        " a superuser (it is in the package postgresql-contrib)": not (found.has_trigrams or found.may_have_trigrams),
    }
    for complaint, holds in complaints.items():
        if holds:
            raise DatabaseUnfit(complaint)


def check_tables(connection: psycopg.Connection) -> None:
    """Check that tables from before our first migration are Magistrala's, of ``OLDEST_UPSTREAM`` or later."""
    advice = "set MG_USERS_DB_NAME to the database of Magistrala's Users service, or to an empty database"
    if not _exists(connection, "users"):
        if upstream_migrations(connection) is not None:
            raise DatabaseUnfit(f"the database has gorp_migrations, and no table users: {advice}")
        return
    done = upstream_migrations(connection)
    if done is not None and OLDEST_UPSTREAM not in done:
        raise DatabaseUnfit(
            f"this database is older than {OLDEST_UPSTREAM}: let Magistrala's last release migrate it first"
        )
    columns = {row.attname: row for row in connection.cursor(row_factory=kwargs_row(SimpleNamespace)).execute(_COLUMNS)}
    for name, kind in _UPSTREAM_COLUMNS.items():
        if name not in columns or columns[name].type != kind:
            raise DatabaseUnfit(f"the table users is not Magistrala's, it has no column {name} {kind}: {advice}")
    for name, column in columns.items():
        if column.must_be_given and name not in _UPSTREAM_COLUMNS:
            raise DatabaseUnfit(
                f"the table users has a column {name}, which Magistrala does not fill and which has no default:"
                f" set a default, or {advice}"
            )


def upstream_migrations(connection: psycopg.Connection) -> set[str] | None:
    """Return the migrations in upstream's ledger, None without a ledger."""
    if not _exists(connection, "gorp_migrations"):
        return None
    return set(connection.cursor(row_factory=scalar_row).execute("SELECT id FROM gorp_migrations"))


def _exists(connection: psycopg.Connection, table: str) -> bool:
    statement = "SELECT to_regclass(%s) IS NOT NULL"
    return connection.cursor(row_factory=scalar_row).execute(statement, (table,)).fetchone() is True
