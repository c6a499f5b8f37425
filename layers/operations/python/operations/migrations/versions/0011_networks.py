"""Failed logins in a row, and digests of networks instead of addresses (security.md S46–S48).

Limits and known addresses begin anew once. Their digests were unsalted, so that anybody who read them could find the
addresses by trying all; they are deleted, because what they are digests of is not known. An address is known again
after the next login from it.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

_STATEMENTS = """
CREATE TABLE users_login_failures (
    user_id VARCHAR(36) PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    failures INTEGER NOT NULL,
    restricted_at TIMESTAMPTZ
);
DELETE FROM users_throttle WHERE key LIKE 'login:%' OR key LIKE 'register:%';
DELETE FROM users_known_addresses;
"""


def upgrade() -> None:
    """Make the table, and delete the digests."""
    op.execute(_STATEMENTS)
