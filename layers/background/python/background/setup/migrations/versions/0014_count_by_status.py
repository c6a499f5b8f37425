"""The index by which a list counts its accounts without reading them (decisions 23)."""

from alembic import op

from background.setup.alembic_run import driver_connection
from background.setup.live_tables import build_index

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Build the index without blocking writers."""
    with op.get_context().autocommit_block():
        build_index(driver_connection(), "users_status", "(status)")
