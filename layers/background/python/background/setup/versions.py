"""The versions of the schema: the migrations of this release, and the database's table with its version."""

from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "users_migrations"


class UnknownVersion(Exception):
    """The database contains a migration that is not in MIGRATIONS. Nothing was changed."""


def newest_version() -> str:
    """Return the newest of MIGRATIONS. The number at the start of a file's name is its revision."""
    return max(path.name.partition("_")[0] for path in MIGRATIONS.glob("versions/*.py"))
