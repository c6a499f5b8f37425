"""The outbox (decisions 28) and the tokens of mail links (decisions 14)."""

from alembic import op

revision = "0003"
down_revision = "0002"

_STATEMENTS = """
CREATE TABLE users_outbox (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    user_id VARCHAR(36),
    channel TEXT NOT NULL,
    name TEXT NOT NULL,
    payload JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    parked_at TIMESTAMPTZ,
    last_error TEXT
);
CREATE INDEX users_outbox_order ON users_outbox (user_id, channel, seq);
CREATE TABLE users_one_time_tokens (
    digest BYTEA PRIMARY KEY,
    user_id VARCHAR(36) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    purpose TEXT NOT NULL,
    email VARCHAR(254) NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ
);
CREATE INDEX users_one_time_tokens_user ON users_one_time_tokens (user_id, purpose);
"""


def upgrade() -> None:
    """Make both tables."""
    op.execute(_STATEMENTS)
