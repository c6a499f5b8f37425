"""The versions of the schema: the migrations of this release, and the table of the database that names its version."""

from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "users_migrations"


class UnknownVersion(Exception):
    """The database holds a migration that is none of MIGRATIONS; nothing was changed."""


def newest_version() -> str:
    """Return the last of MIGRATIONS by the number that its file begins with, which is its revision."""
    return max(path.name.partition("_")[0] for path in MIGRATIONS.glob("versions/*.py"))
