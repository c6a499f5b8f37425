"""What this service keeps of an account beyond upstream's columns (decisions.md 12, 15, 18, 19)."""

from alembic import op

revision = "0002"
down_revision = "0001"

# `case_conflict` marks the accounts of a taken-over database whose name another one has in other letter case: they
# lie outside the folded indexes and log in by exact spelling.
_STATEMENTS = """
ALTER TABLE users
    ADD COLUMN tokens_valid_from TIMESTAMPTZ,
    ADD COLUMN secret_changed_at TIMESTAMPTZ,
    ADD COLUMN disabled_at TIMESTAMPTZ,
    ADD COLUMN deleted_at TIMESTAMPTZ,
    ADD COLUMN purging_at TIMESTAMPTZ,
    ADD COLUMN case_conflict BOOLEAN NOT NULL DEFAULT false;
UPDATE users SET role = 0 WHERE role IS NULL;
UPDATE users SET disabled_at = now() WHERE status = 1;
UPDATE users SET deleted_at = now() WHERE status = 2;
UPDATE users SET case_conflict = true WHERE id IN (
    SELECT id FROM (
        SELECT id,
            row_number() OVER (PARTITION BY lower(email) ORDER BY status, created_at, id) AS by_email,
            row_number() OVER (PARTITION BY lower(username) ORDER BY status, created_at, id) AS by_username,
            username
        FROM users
    ) ranked
    WHERE by_email > 1 OR (username IS NOT NULL AND by_username > 1)
);
CREATE UNIQUE INDEX users_email_folded_key ON users (lower(email)) WHERE NOT case_conflict;
CREATE UNIQUE INDEX users_username_folded_key ON users (lower(username)) WHERE NOT case_conflict;
"""


def upgrade() -> None:
    """Add the columns, and fold names as far as they are unique."""
    op.execute(_STATEMENTS)
