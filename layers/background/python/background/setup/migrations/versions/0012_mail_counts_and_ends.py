"""A mark of mails that count against limits, and indexes for the sweep of expired rows (S53, S56)."""

from alembic import op

from background.setup.alembic_run import driver_connection
from background.setup.live_tables import build_index

revision = "0012"
down_revision = "0011"

_INDEXES = {
    "users_known_addresses_age": ("users_known_addresses", "(logged_in_at)"),
    "users_one_time_tokens_expiry": ("users_one_time_tokens", "(expires_at)"),
    "users_verifications_expiry": ("users_verifications", "((COALESCE(expires_at, created_at, '-infinity')))"),
}


def upgrade() -> None:
    """Add the column, and build the indexes without blocking writers."""
    op.execute("ALTER TABLE users_outbox ADD COLUMN IF NOT EXISTS counted_at TIMESTAMPTZ")
    with op.get_context().autocommit_block():
        for name, (table, definition) in _INDEXES.items():
            build_index(driver_connection(), name, definition, table=table)
