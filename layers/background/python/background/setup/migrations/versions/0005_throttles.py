"""Attempts and their limits (S8–S13). The tables contain digests of addresses."""

from alembic import op

revision = "0005"
down_revision = "0004"

_STATEMENTS = """
CREATE TABLE users_throttle (
    key TEXT PRIMARY KEY,
    user_id VARCHAR(36),
    hits INTEGER NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    hit_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX users_throttle_user ON users_throttle (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX users_throttle_expiry ON users_throttle (expires_at);
CREATE TABLE users_known_addresses (
    user_id VARCHAR(36) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address TEXT NOT NULL,
    logged_in_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (user_id, address)
);
"""


def upgrade() -> None:
    """Make both tables."""
    op.execute(_STATEMENTS)
