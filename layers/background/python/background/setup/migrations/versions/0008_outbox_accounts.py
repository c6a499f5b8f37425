"""The order in which the relay steps through the accounts of a channel, and the rows that it gave up."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Build them at once: rows stay in the outbox for seconds, so there are few."""
    op.execute("CREATE INDEX IF NOT EXISTS users_outbox_accounts ON users_outbox (channel, user_id, seq)")
    op.execute("CREATE INDEX IF NOT EXISTS users_outbox_parked ON users_outbox (channel) WHERE parked_at IS NOT NULL")
