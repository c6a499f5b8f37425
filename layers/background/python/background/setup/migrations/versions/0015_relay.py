"""The one row with the time until which the relay will look at the outbox again (background.delivery.lookout)."""

from alembic import op

revision = "0015"
down_revision = "0014"

_STATEMENTS = """
CREATE TABLE IF NOT EXISTS users_relay (
    id BOOLEAN PRIMARY KEY DEFAULT true CHECK (id),
    run_id UUID,
    looks_until TIMESTAMPTZ NOT NULL DEFAULT '-infinity'
);
INSERT INTO users_relay DEFAULT VALUES ON CONFLICT DO NOTHING;
"""


def upgrade() -> None:
    """Make the table and its row. ``run_id`` is empty while a woken run has not begun."""
    op.execute(_STATEMENTS)
