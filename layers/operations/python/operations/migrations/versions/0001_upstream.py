"""Upstream's tables at ``clients_12`` (contract §6): made where there are none, left as they are where they are.

The names of constraints and indexes are upstream's, because its SQL and its error mapper know them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_LAST_UPSTREAM = "clients_12"
_TABLES = """
CREATE TABLE users (
    id VARCHAR(36) CONSTRAINT clients_pkey PRIMARY KEY,
    domain_id VARCHAR(36),
    email VARCHAR(254) NOT NULL CONSTRAINT clients_email_key UNIQUE,
    secret TEXT,
    tags TEXT[],
    metadata JSONB,
    created_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ,
    updated_by VARCHAR(254),
    status SMALLINT NOT NULL DEFAULT 0 CONSTRAINT clients_status_check CHECK (status >= 0),
    role SMALLINT DEFAULT 0 CONSTRAINT clients_status_check1 CHECK (status >= 0),
    username VARCHAR(254) CONSTRAINT clients_username_key UNIQUE,
    first_name VARCHAR(254) NOT NULL,
    last_name VARCHAR(254) NOT NULL,
    profile_picture TEXT,
    verified_at TIMESTAMPTZ,
    auth_provider VARCHAR(254),
    private_metadata JSONB
);
CREATE TABLE users_verifications (
    user_id VARCHAR(36) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email VARCHAR(254) NOT NULL,
    otp VARCHAR(255),
    created_at TIMESTAMPTZ,
    expires_at TIMESTAMPTZ,
    used_at TIMESTAMPTZ
);
CREATE INDEX idx_users_verifications_lookup ON users_verifications (user_id, email, created_at DESC);
"""


def upgrade() -> None:
    """Make the tables, unless upstream has."""
    connection = op.get_bind()
    if not sa.inspect(connection).has_table("gorp_migrations"):
        op.execute(_TABLES)
        return
    done = {row.id for row in connection.execute(sa.text("SELECT id FROM gorp_migrations"))}
    if _LAST_UPSTREAM not in done:
        message = f"this database is upstream's before {_LAST_UPSTREAM}: let the last upstream release migrate it first"
        raise RuntimeError(message)
