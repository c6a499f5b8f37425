"""PostgreSQL: one connection for each thread, transactions, and the tables of the schema ``auth``."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

Connection = psycopg.Connection[tuple[Any, ...]]

_CONNECT_TIMEOUT_SECONDS = 2
# "auth". IF NOT EXISTS alone fails when two processes create the same table at the same moment.
_SCHEMA_LOCK = 0x6175_7468

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS auth;

-- Live refresh tokens. Upstream keeps them in Redis with a time to live.
CREATE TABLE IF NOT EXISTS auth.refresh_tokens (
    id          text PRIMARY KEY,
    user_id     text NOT NULL,
    description text NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS refresh_tokens_user ON auth.refresh_tokens (user_id, expires_at);
CREATE INDEX IF NOT EXISTS refresh_tokens_expiry ON auth.refresh_tokens (expires_at);

CREATE TABLE IF NOT EXISTS auth.personal_access_tokens (
    id          uuid PRIMARY KEY,
    user_id     uuid NOT NULL,
    name        text NOT NULL,
    secret_hash bytea NOT NULL,
    expires_at  timestamptz,
    revoked_at  timestamptz
);

CREATE TABLE IF NOT EXISTS auth.api_keys (
    id          text PRIMARY KEY,
    user_id     text NOT NULL,
    name        text NOT NULL,
    expires_at  timestamptz,
    revoked_at  timestamptz
);

-- SpiceDB's relationships: resource_type:resource_id#relation@subject_type:subject_id
CREATE TABLE IF NOT EXISTS auth.relationships (
    resource_type text NOT NULL,
    resource_id   text NOT NULL,
    relation      text NOT NULL,
    subject_type  text NOT NULL,
    subject_id    text NOT NULL,
    PRIMARY KEY (resource_type, resource_id, relation, subject_type, subject_id)
);
CREATE INDEX IF NOT EXISTS relationships_subject ON auth.relationships (subject_type, subject_id);
"""


class Database:
    """Connects to one database when a thread first needs it, and again after the server was away."""

    def __init__(self, conninfo: str) -> None:
        """Take a libpq URI or conninfo. Do not connect yet."""
        self._conninfo = conninfo
        self._thread = threading.local()

    def create_schema(self) -> None:
        """Create the missing tables of the schema ``auth``. Raise psycopg.Error."""
        with self.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_SCHEMA_LOCK])
            connection.execute(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run the block in a transaction of this thread's connection.

        Reconnect once if BEGIN fails. Raise later failures, because the server may have committed. Raise
        psycopg.OperationalError if the server is unreachable.
        """
        with ExitStack() as stack:
            yield self._begin(stack)

    def close(self) -> None:
        """Close this thread's connection, if it has one. The next transaction makes a new one."""
        connection: Connection | None = getattr(self._thread, "connection", None)
        if connection is not None:
            connection.close()

    def _begin(self, stack: ExitStack) -> Connection:
        connection: Connection | None = getattr(self._thread, "connection", None)
        if connection is not None and not connection.closed:
            try:
                stack.enter_context(connection.transaction())
            except psycopg.OperationalError:
                connection.close()
            else:
                return connection
        connection = psycopg.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            application_name="local.auth",
        )
        self._thread.connection = connection
        stack.enter_context(connection.transaction())
        return connection
