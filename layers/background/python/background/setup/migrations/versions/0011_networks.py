"""Failed logins in a row, and digests of networks instead of addresses (S46–S48).

Limits and known addresses start again once. Their digests were unsalted, so that a reader could find the addresses by
trying all of them. New digests cannot be made of old ones, so the old ones are deleted. An address is known again after
the next login from it.
"""

from alembic import op

from background.setup.alembic_run import driver_connection
from background.setup.live_tables import delete_in_batches

revision = "0011"
down_revision = "0010"

_FAILURES = """
CREATE TABLE users_login_failures (
    user_id VARCHAR(36) PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    failures INTEGER NOT NULL,
    restricted_at TIMESTAMPTZ
)"""


def upgrade() -> None:
    """Delete the digests, then make the table. Its reference blocks writers of ``users`` until the commit."""
    with op.get_context().autocommit_block():
        connection = driver_connection()
        limits = "(key LIKE 'login:%%' OR key LIKE 'register:%%') AND hit_at < %(begun)s"
        delete_in_batches(connection, "users_throttle", limits)
        delete_in_batches(connection, "users_known_addresses", "logged_in_at < %(begun)s")
    op.execute(_FAILURES)
