"""The transfer of accounts between installations: a read of the whole table, and batches of lines to store.

A batch is one transaction of the caller: ``stage`` copies its lines into the temporary table ``staged``, and the other
functions work on the staged lines. No statement here is prepared.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from users.repository.accounts import NEXT_SECOND
from users.repository.database import conninfo
from users.repository.outbox import insert
from users.repository.purges import removal, removal_event
from users.repository.statements import Part, Statement
from users.rules.outbox_records import Record

Connection = psycopg.Connection[DictRow]

TIMES = (
    "created_at",
    "updated_at",
    "verified_at",
    "secret_changed_at",
    "tokens_valid_from",
    "disabled_at",
    "deleted_at",
)
_EXPORTED = 2000  # rows that an export reads at once

# The role's time limits are for requests.
_NO_LIMITS = Statement("lift_limits", "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
_ONE_SNAPSHOT = Statement(
    "read_one_snapshot", "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
)

# PostgreSQL has infinite times, which Python does not have. They mean nothing here.
_TIME_COLUMNS = ", ".join(
    f"CASE WHEN isfinite({name}) AND {name} > '0002-01-01' THEN {name} AT TIME ZONE 'UTC' END AS {name}"
    for name in TIMES
)
_COUNT = Statement("count_accounts", "SELECT count(*) AS total FROM users")
_EXPORT = Statement(
    "export",
    f"""
    SELECT id, first_name, last_name, tags, metadata::text, private_metadata::text, status, role, profile_picture,
        username, email, updated_by, auth_provider, secret, case_conflict, {_TIME_COLUMNS}
    FROM users ORDER BY id""",
)

# The columns of a staged line.
STAGED = {
    "number": "BIGINT",
    "given_id": "BOOLEAN",
    "id": "TEXT",
    "email": "TEXT",
    "username": "TEXT",
    "first_name": "TEXT",
    "last_name": "TEXT",
    "tags": "TEXT[]",
    "status": "SMALLINT",
    "role": "SMALLINT",
    "profile_picture": "TEXT",
    "updated_by": "TEXT",
    "auth_provider": "TEXT",
    "secret": "TEXT",
    "case_conflict": "BOOLEAN",
    "document": "JSON",
    **dict.fromkeys(TIMES, "TIMESTAMPTZ"),
}
_CREATE_STAGED = Statement(
    "create_staged",
    f"""
    CREATE TEMPORARY TABLE staged ({", ".join(f"{name} {kind}" for name, kind in STAGED.items())})
    ON COMMIT DELETE ROWS""",
)
_COPY_STAGED = Statement("copy_staged", f"COPY staged ({', '.join(STAGED)}) FROM STDIN")
# A dry run fills a table of its own with the same constraints, so it also finds duplicates within the file.
_CREATE_REHEARSAL = Statement(
    "create_rehearsal",
    """
    CREATE TEMPORARY TABLE rehearsal (LIKE users INCLUDING DEFAULTS);
    CREATE UNIQUE INDEX ON rehearsal (id);
    CREATE UNIQUE INDEX ON rehearsal (email);
    CREATE UNIQUE INDEX ON rehearsal (username);
    CREATE UNIQUE INDEX ON rehearsal (lower(email)) WHERE NOT case_conflict;
    CREATE UNIQUE INDEX ON rehearsal (lower(username)) WHERE NOT case_conflict""",
)

# The account that a line is about: the same id or, for a line without an id, the same e-mail address and username.
_SAME = """(s.given_id AND u.id = s.id)
    OR (NOT s.given_id AND u.email = s.email AND u.username IS NOT DISTINCT FROM s.username)"""

# The account that a line would collide with.
_OCCUPIED = (
    "u.id = s.id",
    "u.email = s.email",
    "u.username = s.username",
    "lower(u.email) = lower(s.email) AND NOT u.case_conflict AND NOT s.case_conflict",
    "lower(u.username) = lower(s.username) AND NOT u.case_conflict AND NOT s.case_conflict",
)

# The columns that a line stores, and their values.
_STORED = {
    "id": "id",
    "email": "email",
    "username": "username",
    "first_name": "first_name",
    "last_name": "last_name",
    "tags": "NULLIF(tags, '{}')",
    "status": "COALESCE(status, 0)",
    "role": "COALESCE(role, 0)",
    "profile_picture": "profile_picture",
    "updated_by": "updated_by",
    "auth_provider": "auth_provider",
    "secret": "secret",
    "case_conflict": "case_conflict",
    "metadata": "COALESCE((document::jsonb)->'metadata', '{}')",
    "private_metadata": "COALESCE((document::jsonb)->'private_metadata', '{}')",
    "created_at": "COALESCE(created_at, now())",
    "updated_at": "updated_at",
    "verified_at": "verified_at",
    "secret_changed_at": "secret_changed_at",
    "tokens_valid_from": "tokens_valid_from",
    "disabled_at": "CASE WHEN status = 1 THEN COALESCE(disabled_at, now()) WHEN status = 2 THEN disabled_at END",
    "deleted_at": "CASE WHEN status = 2 THEN COALESCE(deleted_at, now()) END",
}


def _insert(name: str, target: str, condition: str) -> Statement:
    return Statement(
        name,
        f"""
        INSERT INTO {target} ({", ".join(_STORED)})
        SELECT {", ".join(_STORED.values())}
        FROM staged s WHERE {condition} ORDER BY number
        ON CONFLICT DO NOTHING RETURNING id, role""",
    )


# The constraints of `users` refuse collisions. For another table the statement must check them.
_INSERT = _insert("import", "users", "true")
_INSERT_LINE = _insert("import_line", "users", "s.number = %(number)s")
_REHEARSE = _insert(
    "rehearse_import",
    "rehearsal",
    " AND ".join(f"NOT EXISTS (SELECT FROM users u WHERE {occupied})" for occupied in _OCCUPIED),
)

# An update must not take away an administrator, nor change an account that is being removed.
_UPDATABLE = """u.purging_at IS NULL AND NOT (u.role = 1 AND u.status = 0
    AND (COALESCE(s.role, 1) <> 1 OR COALESCE(s.status, 0) <> 0))"""
_UPDATE = Statement(
    "import_update",
    Part(
        "matched",
        f"""
        SELECT DISTINCT ON (u.id) u.id AS user_id, u.email AS old_email, COALESCE(s.role < u.role, false) AS demoted,
            s.secret IS DISTINCT FROM u.secret AND s.secret IS NOT NULL AS new_secret,
            COALESCE(s.role <> u.role, false) OR COALESCE(s.status <> u.status, false) AS new_standing, s.*
        FROM staged s JOIN users u ON {_SAME} WHERE {_UPDATABLE} ORDER BY u.id, s.number DESC""",
        gives=("user_id", "old_email", "demoted", "new_secret", "new_standing", *STAGED),
    ),
    Part(
        "ended",
        """
        UPDATE users_one_time_tokens t SET used_at = now() FROM matched m
        WHERE t.user_id = m.user_id AND t.used_at IS NULL AND (m.new_secret OR lower(m.email) <> lower(m.old_email))""",
        needs={"matched": ("user_id", "new_secret", "email", "old_email")},
    ),
    f"""
    UPDATE users u SET email = m.email, username = COALESCE(m.username, u.username), first_name = m.first_name,
        last_name = m.last_name, tags = COALESCE(m.tags, u.tags), status = COALESCE(m.status, u.status),
        role = COALESCE(m.role, u.role), profile_picture = COALESCE(m.profile_picture, u.profile_picture),
        auth_provider = COALESCE(m.auth_provider, u.auth_provider), secret = COALESCE(m.secret, u.secret),
        metadata = COALESCE((m.document::jsonb)->'metadata', u.metadata),
        private_metadata = COALESCE((m.document::jsonb)->'private_metadata', u.private_metadata),
        created_at = COALESCE(m.created_at, u.created_at),
        updated_at = COALESCE(m.updated_at, now()), updated_by = COALESCE(m.updated_by, %(by)s),
        verified_at = COALESCE(m.verified_at, CASE WHEN lower(m.email) = lower(u.email) THEN u.verified_at END),
        secret_changed_at = COALESCE(m.secret_changed_at, CASE WHEN m.new_secret THEN now() END, u.secret_changed_at),
        tokens_valid_from = GREATEST(u.tokens_valid_from, m.tokens_valid_from,
            CASE WHEN m.new_secret OR m.new_standing THEN {NEXT_SECOND} END),
        disabled_at = CASE COALESCE(m.status, u.status)
            WHEN 1 THEN COALESCE(m.disabled_at, u.disabled_at, now())
            WHEN 2 THEN COALESCE(m.disabled_at, u.disabled_at) END,
        deleted_at = CASE WHEN COALESCE(m.status, u.status) = 2 THEN COALESCE(m.deleted_at, u.deleted_at, now()) END
    FROM matched m WHERE u.id = m.user_id
    RETURNING u.id, u.role, m.number, m.demoted""",
)

_ADMINISTRATOR_OF_FILE = "s.given_id AND s.role = 1 AND COALESCE(s.status, 0) = 0"
_ADMINISTRATOR_HERE = "u.role = 1 AND u.status = 0 AND u.purging_at IS NULL"
_SAME_EMAIL = "lower(u.email) = lower(s.email)"
_SAME_USERNAME = "lower(u.username) = lower(s.username)"
# Conditions on ``staged s`` and ``users u``: one administrator by the e-mail address, or by the username alone.
_SAME_ADMINISTRATOR = f"{_ADMINISTRATOR_OF_FILE} AND {_ADMINISTRATOR_HERE} AND {_SAME_EMAIL}"
_SAME_ADMINISTRATOR_BY_USERNAME = f"{_ADMINISTRATOR_OF_FILE} AND {_ADMINISTRATOR_HERE} AND {_SAME_USERNAME}"


def _find_left(name: str, users: str) -> Statement:
    """Return the statement for the reasons of lines that were not stored: `exists` means an existing account."""
    return Statement(
        name,
        f"""
    SELECT s.number, s.id, CASE
        WHEN same.id IS NOT NULL THEN 'exists'
        WHEN EXISTS (SELECT FROM users u WHERE {_SAME_ADMINISTRATOR}) THEN 'administrator'
        WHEN EXISTS (SELECT FROM users u WHERE {_SAME_ADMINISTRATOR_BY_USERNAME}) THEN 'administrator_by_username'
        WHEN EXISTS (SELECT FROM {users} u WHERE u.email = s.email OR (
            lower(u.email) = lower(s.email) AND NOT u.case_conflict)) THEN 'email_taken'
        ELSE 'username_taken' END AS reason, same.id AS user_id, same.role, COALESCE(same.protected, false) AS protected
    FROM staged s LEFT JOIN LATERAL (
        SELECT u.id, CASE WHEN u.purging_at IS NULL THEN u.role END AS role, NOT ({_UPDATABLE}) AS protected
        FROM {users} u WHERE {_SAME} LIMIT 1
    ) same ON true
    WHERE s.id <> ALL(%(stored)s) AND s.number <> ALL(%(updated)s) ORDER BY s.number""",
    )


_FIND_LEFT = _find_left("find_left_lines", "users")
_FIND_LEFT_OF_REHEARSAL = _find_left(
    "find_left_lines_of_rehearsal", "(SELECT * FROM users UNION ALL SELECT * FROM rehearsal)"
)

_RECORD = Statement(
    "record_import",
    insert(
        "recorded",
        """
    SELECT id, user_id, channel, name, payload FROM jsonb_to_recordset(%(records)s)
        AS r(id uuid, user_id text, channel text, name text, payload jsonb)""",
        needs={},
    ),
)

_FIND_REPLACEABLE = Statement(
    "find_replaceable_administrators",
    f"""
    SELECT s.number, min(u.id) AS user_id, min(u.secret) AS secret
    FROM (SELECT * FROM staged s WHERE {_ADMINISTRATOR_OF_FILE}) s
    JOIN users u ON u.id = s.id OR {_SAME_EMAIL} OR {_SAME_USERNAME}
    GROUP BY s.number HAVING count(*) = 1 AND bool_and(u.id <> s.id AND {_ADMINISTRATOR_HERE}) ORDER BY s.number""",
)
_REMOVE_REPLACED = removal("remove_replaced", "SELECT id FROM users WHERE id = %(user_id)s FOR UPDATE")
_KEEP_PASSWORD = Statement(
    "keep_password", "UPDATE staged SET secret = COALESCE(secret, %(secret)s) WHERE number = %(number)s"
)


def export(connection: Connection) -> Iterator[tuple[int, DictRow]]:
    """Read a snapshot of all accounts, in the order of their ids. Yield each with the number of all.

    A server-side cursor keeps memory flat. The export may take as long as its reader, without the limits of the role.
    """
    _execute(connection, _ONE_SNAPSHOT)
    _execute(connection, _NO_LIMITS)
    connection.commit()
    (counted,) = _execute(connection, _COUNT).fetchall()
    with connection.cursor(name="users_export") as cursor:
        cursor.itersize = _EXPORTED
        for row in cursor.execute(_EXPORT.text):
            yield counted["total"], row


def connect_for_import(*, dry_run: bool) -> Connection:
    """Return a connection with the temporary tables of an import, without the time limits of the role."""
    connection = psycopg.connect(conninfo(), row_factory=dict_row, prepare_threshold=None)
    try:
        _execute(connection, _NO_LIMITS)
        _execute(connection, _CREATE_STAGED)
        if dry_run:
            _execute(connection, _CREATE_REHEARSAL)
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def stage(connection: Connection, lines: Iterable[Mapping[str, Any]]) -> None:
    """Copy lines into ``staged``. Each has a value for every column of ``STAGED``."""
    with connection.cursor() as cursor, cursor.copy(_COPY_STAGED.text) as copy:
        for line in lines:
            copy.write_row([line[name] for name in STAGED])


def update(connection: Connection, by: str) -> list[DictRow]:
    """Update the accounts that staged lines are about: ``id``, ``role``, ``number`` of the line, ``demoted``."""
    return _execute(connection, _UPDATE, {"by": by}).fetchall()


def store(connection: Connection, *, dry_run: bool) -> dict[str, int]:
    """Store the staged lines without a collision, in a dry run in its own table. Return ids and roles."""
    rows = _execute(connection, _REHEARSE if dry_run else _INSERT).fetchall()
    return {row["id"]: row["role"] for row in rows}


def find_left(connection: Connection, stored: Sequence[str], updated: Sequence[int], *, dry_run: bool) -> list[DictRow]:
    """Return the staged lines that were neither ``stored`` (ids) nor used to update (numbers), each with a reason."""
    parameters = {"stored": list(stored), "updated": list(updated)}
    return _execute(connection, _FIND_LEFT_OF_REHEARSAL if dry_run else _FIND_LEFT, parameters).fetchall()


def record(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write outbox records, each with its ``user_id``."""
    _execute(connection, _RECORD, {"records": Jsonb(rows)})


def find_replaceable(connection: Connection) -> list[DictRow]:
    """Return the staged lines that collide with one administrator only: ``number``, ``user_id``, ``secret``."""
    return _execute(connection, _FIND_REPLACEABLE).fetchall()


def remove_replaced(connection: Connection, user_id: str, event: Record) -> bool:
    """Remove an account. Return False if an earlier line has taken its place."""
    parameters = {"user_id": user_id, **removal_event(event)}
    (found,) = _execute(connection, _REMOVE_REPLACED, parameters).fetchall()
    return bool(found["removed"])


def store_replacing(connection: Connection, number: int, secret: str | None) -> bool:
    """Store a staged line, with the password ``secret`` if it has none. Return False if an account collides with it."""
    _execute(connection, _KEEP_PASSWORD, {"number": number, "secret": secret})
    return _execute(connection, _INSERT_LINE, {"number": number}).fetchone() is not None


def _execute(
    connection: Connection, statement: Statement, parameters: Mapping[str, Any] | None = None
) -> psycopg.Cursor[DictRow]:
    statement.check(parameters or {})
    return connection.execute(statement.text, parameters)
