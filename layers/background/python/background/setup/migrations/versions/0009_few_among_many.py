"""The indexes of the few accounts among many: administrators (decisions 16) and case conflicts (decisions 19)."""

from alembic import op

from background.setup.alembic_run import driver_connection
from background.setup.live_tables import build_index

revision = "0009"
down_revision = "0008"

_INDEXES = {
    "users_administrators": "(id) WHERE role = 1",
    "users_case_conflicts": "(id) WHERE case_conflict",
}


def upgrade() -> None:
    """Build the indexes without blocking writers, and update the table's statistics."""
    with op.get_context().autocommit_block():
        for name, definition in _INDEXES.items():
            build_index(driver_connection(), name, definition)
        # Indexed expressions, such as folded names, have no statistics before ANALYZE, and plans would rest on guesses.
        op.execute("ANALYZE users")
