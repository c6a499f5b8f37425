"""Indexes that keep lists and searches fast (contract §3): infixes by trigrams, tags, metadata, and every order."""

from alembic import op

from background.setup.alembic_run import driver_connection
from background.setup.live_tables import build_index

revision = "0006"
down_revision = "0005"

# GIN: one index over several columns serves a filter on any of them.
_INDEXES = {
    "users_infixes": "USING gin (username gin_trgm_ops, first_name gin_trgm_ops, last_name gin_trgm_ops,"
    " email gin_trgm_ops, id gin_trgm_ops)",
    "users_tags": "USING gin (tags)",
    "users_metadata": "USING gin (metadata jsonb_path_ops)",
    "users_created_order": "((COALESCE(created_at, '-infinity')), id)",
    "users_first_name_order": "(first_name, id)",
    "users_last_name_order": "(last_name, id)",
    "users_username_order": "((COALESCE(username, '')), id)",
    "users_email_order": "(email, id)",
}


def upgrade() -> None:
    """Build the indexes without blocking writers."""
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    with op.get_context().autocommit_block():
        for name, definition in _INDEXES.items():
            build_index(driver_connection(), name, definition)
