"""The sweep's columns and indexes (decisions 18): the time of the warning, failed tries, and due accounts."""

from alembic import op

from background.setup.alembic_run import driver_connection
from background.setup.live_tables import build_index

revision = "0007"
down_revision = "0006"

_INDEXES = {
    "users_deleted_unclaimed": "(deleted_at, id) WHERE status = 2 AND purging_at IS NULL",
    "users_disabled_unclaimed": "(disabled_at, id) WHERE status = 1 AND purging_at IS NULL",
    "users_purging": "(purging_at) WHERE purging_at IS NOT NULL",
}


def upgrade() -> None:
    """Add the columns, and build the indexes without blocking writers."""
    op.execute(
        "ALTER TABLE users ADD COLUMN IF NOT EXISTS removal_warned_at TIMESTAMPTZ,"
        " ADD COLUMN IF NOT EXISTS purge_attempts INTEGER NOT NULL DEFAULT 0"
    )
    with op.get_context().autocommit_block():
        for name, definition in _INDEXES.items():
            build_index(driver_connection(), name, definition)
