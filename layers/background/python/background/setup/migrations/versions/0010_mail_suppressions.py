"""Addresses that get no mails after a bounce or a complaint."""

from alembic import op

revision = "0010"
down_revision = "0009"

_STATEMENTS = """
CREATE TABLE users_mail_suppressions (
    address TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    feedback_id TEXT NOT NULL,
    user_id VARCHAR(36) REFERENCES users (id) ON DELETE CASCADE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX users_mail_suppressions_user ON users_mail_suppressions (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX users_mail_suppressions_expiry ON users_mail_suppressions (expires_at);
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_STATEMENTS)
