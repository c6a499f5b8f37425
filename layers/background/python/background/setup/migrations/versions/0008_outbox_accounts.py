"""The indexes for the relay's order of the accounts of a channel, and for parked rows."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Build the indexes. This blocks writers only for a moment, because rows stay in the outbox for seconds."""
    op.execute("CREATE INDEX IF NOT EXISTS users_outbox_accounts ON users_outbox (channel, user_id, seq)")
    op.execute("CREATE INDEX IF NOT EXISTS users_outbox_parked ON users_outbox (channel) WHERE parked_at IS NOT NULL")
