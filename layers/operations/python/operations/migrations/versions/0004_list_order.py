"""The index of the default order of lists, so that a first page does not read the table (decisions.md 24)."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Build it without blocking writers; an invalid one that a killed run left behind is dropped first."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS users_updated_order")
        op.execute(
            "CREATE INDEX CONCURRENTLY users_updated_order"
            " ON users ((COALESCE(updated_at, created_at, '-infinity')), id)"
        )
