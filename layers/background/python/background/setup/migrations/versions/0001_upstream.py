"""Upstream's tables at ``clients_12`` (contract §6): new ones for an empty database, or an upgrade of older tables.

The names of constraints and indexes are upstream's, because its SQL and its error mapper use them. The SQL of an older
upstream works on the upgraded tables, too.
"""

import sqlalchemy as sa
from alembic import op

from background.setup.alembic_run import driver_connection
from background.setup.live_tables import update_in_batches
from background.setup.preflight import upstream_migrations

revision = "0001"
down_revision = None

_USERS = """
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
)"""
_VERIFICATIONS = """
CREATE TABLE users_verifications (
    user_id VARCHAR(36) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email VARCHAR(254) NOT NULL,
    otp VARCHAR(255),
    created_at TIMESTAMPTZ,
    expires_at TIMESTAMPTZ,
    used_at TIMESTAMPTZ
);
CREATE INDEX idx_users_verifications_lookup ON users_verifications (user_id, email, created_at DESC)
"""

# clients_09 and clients_10, in upstream's order.
_LATER_COLUMNS = {"auth_provider": "VARCHAR(254)", "private_metadata": "JSONB"}
# clients_11 and clients_12 move the object under this key one level up. Its keys replace equal keys there.
_FLATTENED = {"clients_11": "ui", "clients_12": "admin"}


def upgrade() -> None:
    """Make the tables, or do the missing work of upstream's migrations since ``clients_08``."""
    if not sa.inspect(op.get_bind()).has_table("users"):
        op.execute(_USERS)
        op.execute(_VERIFICATIONS)
        return
    done = upstream_migrations(driver_connection())
    if not sa.inspect(op.get_bind()).has_table("users_verifications"):
        op.execute(_VERIFICATIONS)
    with op.get_context().autocommit_block():
        _complete(done)


def _complete(done: set[str] | None) -> None:
    inspector = sa.inspect(op.get_bind())
    if any(unique["name"] == "clients_identity_key" for unique in inspector.get_unique_constraints("users")):
        op.execute("ALTER TABLE users RENAME CONSTRAINT clients_identity_key TO clients_email_key")
    present = {column["name"] for column in inspector.get_columns("users")}
    missing = [f"ADD COLUMN {name} {kind}" for name, kind in _LATER_COLUMNS.items() if name not in present]
    if missing:
        op.execute(f"ALTER TABLE users {', '.join(missing)}")
    for migration, key in _FLATTENED.items():
        if done is not None and migration not in done:
            for column in ("metadata", "private_metadata"):
                update_in_batches(
                    driver_connection(),
                    f"{column} = (u.{column} || (u.{column} -> '{key}')) - '{key}'",
                    f"jsonb_typeof(u.{column} -> '{key}') = 'object'",
                )
