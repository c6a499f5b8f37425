"""The few accounts that are looked for among all: administrators (decisions 16), and case conflicts (decisions 19)."""

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
    """Build each without blocking writers, and count what all indexes hold."""
    with op.get_context().autocommit_block():
        for name, definition in _INDEXES.items():
            build_index(driver_connection(), name, definition)
        # Of expressions, such as folded names, nothing is known before; plans would rest on guesses.
        op.execute("ANALYZE users")
