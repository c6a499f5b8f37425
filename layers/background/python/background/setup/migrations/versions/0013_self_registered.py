"""The columns and index of self-registered accounts. The sweep may remove unverified ones (decisions 35)."""

from alembic import op

from background.setup.alembic_run import driver_connection
from background.setup.live_tables import build_index

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns. A constant default rewrites no row, and existing accounts are never removed this way."""
    op.execute(
        "ALTER TABLE users ADD COLUMN IF NOT EXISTS self_registered BOOLEAN NOT NULL DEFAULT false,"
        " ADD COLUMN IF NOT EXISTS verification_reminded_at TIMESTAMPTZ"
    )
    with op.get_context().autocommit_block():
        build_index(
            driver_connection(),
            "users_never_verified",
            "(created_at, id) WHERE self_registered AND verified_at IS NULL AND status = 0",
        )
