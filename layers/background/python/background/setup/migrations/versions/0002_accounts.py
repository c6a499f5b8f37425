"""The columns of an account that upstream does not have (decisions 12, 15, 18, 19)."""

import sqlalchemy as sa
from alembic import op
from psycopg.errors import UniqueViolation

from background.setup.alembic_run import driver_connection
from background.setup.live_tables import build_index
from background.setup.takeover import complete_accounts, mark_case_conflicts

revision = "0002"
down_revision = "0001"

_COLUMNS = {
    "tokens_valid_from": "TIMESTAMPTZ",
    "secret_changed_at": "TIMESTAMPTZ",
    "disabled_at": "TIMESTAMPTZ",
    "deleted_at": "TIMESTAMPTZ",
    "purging_at": "TIMESTAMPTZ",
    "case_conflict": "BOOLEAN NOT NULL DEFAULT false",
}
_INDEXES = {
    "users_email_folded_key": "(lower(email)) WHERE NOT case_conflict",
    "users_username_folded_key": "(lower(username)) WHERE NOT case_conflict",
}
_ATTEMPTS = 20


def upgrade() -> None:
    """Add the columns, and make folded names unique, except for case conflicts."""
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("users")}
    missing = [f"ADD COLUMN {name} {kind}" for name, kind in _COLUMNS.items() if name not in present]
    if missing:
        op.execute(f"ALTER TABLE users {', '.join(missing)}")
    with op.get_context().autocommit_block():
        connection = driver_connection()
        complete_accounts(connection)
        for attempt in range(1, _ATTEMPTS + 1):
            mark_case_conflicts(connection)
            try:
                for name, definition in _INDEXES.items():
                    build_index(connection, name, definition, unique=True)
            except UniqueViolation:
                # A writer, perhaps upstream, added another pair after the marking.
                if attempt == _ATTEMPTS:
                    raise
            else:
                return
