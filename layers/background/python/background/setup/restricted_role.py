"""The role of the functions: it reads and writes the rows of the service's tables, and may do nothing else (S66).

``MG_USERS_DB_OWNER`` owns the tables and migrates them. Each bootstrap makes or updates the role ``MG_USERS_DB_USER``:
it grants rights on new tables, sets a new password, and revokes all other grants.
"""

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import scalar_row, tuple_row

from background.setup.preflight import DatabaseUnfit
from background.setup.schema import limit_role
from background.setup.versions import VERSION_TABLE
from users.aws.secrets import secret
from users.settings import WrongSettings, settings

ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")
# The service's tables and sequences, `users` and `users_…`, with the privileges of the role on each.
_HELD = """
    SELECT c.relname, c.relkind = 'S', ARRAY(
        SELECT privilege_type::text FROM aclexplode(c.relacl)
        WHERE grantee = (SELECT oid FROM pg_roles WHERE rolname = %(role)s))
    FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'S')
        AND (c.relname = 'users' OR starts_with(c.relname, 'users_'))
    ORDER BY c.relname"""
# Further ways in which a role may have more privileges.
_MORE = """
    SELECT CASE
        WHEN r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
            THEN 'it has attributes such as SUPERUSER or CREATEROLE: ALTER ROLE … NOSUPERUSER NOCREATEROLE NOCREATEDB'
        WHEN EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid)
            THEN 'it is a member of another role: REVOKE that role from it'
        WHEN EXISTS (SELECT FROM pg_class WHERE relowner = r.oid) THEN 'it owns tables: give them to another role'
        WHEN has_schema_privilege(r.oid, current_schema(), 'CREATE')
            THEN 'it may create in the schema: REVOKE CREATE ON SCHEMA ' || current_schema() || ' FROM PUBLIC'
        WHEN has_database_privilege(r.oid, current_database(), 'CREATE')
            THEN 'it may create schemas: REVOKE CREATE ON DATABASE ' || current_database() || ' FROM PUBLIC'
        WHEN has_table_privilege(r.oid, 'users', 'TRUNCATE, REFERENCES, TRIGGER')
            THEN 'it may do more with users than read and write rows: REVOKE ALL ON users FROM PUBLIC'
        END
    FROM pg_roles r WHERE r.rolname = %(role)s"""


def ensure_restricted_role(connection: psycopg.Connection) -> None:
    """Make or update ``MG_USERS_DB_USER``, on a connection of the owner after the migrations.

    DatabaseUnfit when the owner lacks a right, or when the role has more rights in another way. WrongSettings when both
    roles are the same, or when the password is missing.
    """
    role = settings().db_user
    if role == settings().db_owner:
        raise WrongSettings("MG_USERS_DB_OWNER: must be another role than MG_USERS_DB_USER, or empty")
    try:
        with connection.transaction():
            _make(connection, role)
            _grant(connection, role)
            limit_role(connection, sql.Identifier(role))
    except pg.InsufficientPrivilege as error:
        raise DatabaseUnfit(
            f'the role "{settings().db_owner}" may not make or change the role "{role}" ({error.diag.message_primary}):'
            f' ALTER ROLE "{settings().db_owner}" CREATEROLE as a superuser, and DROP ROLE "{role}" if another'
            " role made it"
        ) from error
    if more := connection.cursor(row_factory=scalar_row).execute(_MORE, {"role": role}).fetchone():
        raise DatabaseUnfit(f'the role "{role}" may do more than read and write rows, because {more}')


def _make(connection: psycopg.Connection, role: str) -> None:
    """Let the role log in by the password. The server and its log get only the SCRAM verifier."""
    password = secret(settings().db_pass)
    if not password:
        raise WrongSettings("MG_USERS_DB_PASS: the role that MG_USERS_DB_OWNER makes needs a password")
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}" if exists else "CREATE ROLE {} LOGIN PASSWORD {}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifier)))


def _grant(connection: psycopg.Connection, role: str) -> None:
    """Grant the role its privileges and revoke others, if they differ."""
    name = sql.Identifier(role)
    database, schema = connection.cursor(row_factory=tuple_row).execute(
        "SELECT current_database(), current_schema()"
    ).fetchone() or ("", "")
    in_schema = sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT ").format(sql.Identifier(schema))
    # TEMPORARY: `python -m users import` stages its lines in a temporary table of its session.
    for statement in (
        sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(sql.Identifier(database), name),
        sql.SQL("REVOKE ALL ON SCHEMA {} FROM {}").format(sql.Identifier(schema), name),
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), name),
        in_schema + sql.SQL("SELECT, INSERT, UPDATE, DELETE ON TABLES TO {}").format(name),
        in_schema + sql.SQL("USAGE ON SEQUENCES TO {}").format(name),
    ):
        connection.execute(statement)
    for relation, is_sequence, held in connection.execute(_HELD, {"role": role}).fetchall():
        wanted = ("USAGE",) if is_sequence else () if relation == VERSION_TABLE else ROWS
        if set(held) == set(wanted):
            continue
        kind = sql.SQL("SEQUENCE" if is_sequence else "TABLE")
        relation_name = sql.Identifier(schema, relation)
        connection.execute(sql.SQL("REVOKE ALL ON {} {} FROM {}").format(kind, relation_name, name))
        if wanted:
            privileges = sql.SQL(", ").join(map(sql.SQL, wanted))
            connection.execute(sql.SQL("GRANT {} ON {} {} TO {}").format(privileges, kind, relation_name, name))
