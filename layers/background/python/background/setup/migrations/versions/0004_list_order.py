"""The index of the default order of lists, so that a first page does not read the table (decisions 24)."""

from alembic import op

from background.setup.alembic_run import driver_connection
from background.setup.live_tables import build_index

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Build the index without blocking writers."""
    with op.get_context().autocommit_block():
        build_index(driver_connection(), "users_updated_order", "((COALESCE(updated_at, created_at, '-infinity')), id)")
