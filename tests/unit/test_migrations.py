"""The names of files show the newest migration, and Alembic finds the same one by importing the files."""

from alembic.script import ScriptDirectory

from background.setup.versions import MIGRATIONS, newest_version


def test_the_newest_version_is_alembics_head() -> None:
    assert [newest_version()] == ScriptDirectory(str(MIGRATIONS)).get_heads()


def test_every_file_is_a_migration_that_follows_the_one_before() -> None:
    names = [path.name for path in sorted(MIGRATIONS.glob("versions/*.py"))]
    scripts = [ScriptDirectory(str(MIGRATIONS)).get_revision(name[:4]) for name in names]
    assert [script.path.rpartition("/")[2] for script in scripts] == names
    assert [script.revision for script in scripts] == [f"{number:04}" for number in range(1, len(names) + 1)]
    assert [script.down_revision for script in scripts] == [None, *(script.revision for script in scripts[:-1])]
