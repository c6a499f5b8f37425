"""The release of a build: its version from the code, its commit from git, its time from the clock."""

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from layers.release import write_release
from local.docs.document import as_json
from users.release import VERSION, Release, release

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with a commit of a function."""
    place = tmp_path / "checkout"
    (place / "functions").mkdir(parents=True)
    (place / "functions" / "app.py").write_text("")
    monkeypatch.setattr("layers.release.ROOT", place)
    git(place, "init", "--quiet")
    commit(place)
    return place


def git(place: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=somebody", "-c", "user.email=somebody@example.com", *arguments]
    return subprocess.run(command, cwd=place, check=True, capture_output=True, text=True).stdout.strip()


def commit(place: Path) -> None:
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--message", "a change")


def written(tmp_path: Path) -> dict[str, str]:
    write_release(tmp_path)
    release: dict[str, str] = json.loads((tmp_path / "release.json").read_text())
    return release


def test_the_last_commit_of_what_is_deployed(checkout: Path, tmp_path: Path) -> None:
    of_code = git(checkout, "rev-parse", "--short=8", "HEAD")
    (checkout / "README.md").write_text("")
    commit(checkout)
    found = written(tmp_path)
    assert found["commit"] == of_code
    assert "version" not in found


def test_each_build_is_another_one(checkout: Path, tmp_path: Path) -> None:
    """Otherwise a deployment of other parameters would reach no function."""
    before = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    built = datetime.strptime(written(tmp_path)["build_time"], "%Y-%m-%d_%H:%M:%S")  # noqa: DTZ007 -- as upstream's, in UTC
    assert before <= built <= datetime.now(UTC).replace(tzinfo=None)


def test_the_version_is_that_of_the_code_and_needs_no_tag(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(checkout, "tag", "v1.2.3")
    found = written(tmp_path)
    monkeypatch.setattr("users.release._FILE", tmp_path / "release.json")
    assert release.__wrapped__() == Release(VERSION, found["commit"], found["build_time"])


def test_the_changelog_names_the_version() -> None:
    """A released version is the newest entry; during development the version is above it."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", changelog, flags=re.MULTILINE)
    assert newest
    core, _, development = VERSION.partition("-")
    assert re.fullmatch(r"\d+\.\d+\.\d+", core)
    assert development in ("", "dev")
    if development:
        assert numbers(core) > numbers(newest[1])
        assert "## [Unreleased]" in changelog
    else:
        assert core == newest[1]


def test_the_description_of_the_api_has_the_version() -> None:
    assert json.loads(as_json())["info"]["version"] == VERSION


def numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def test_a_commit_with_changes_is_marked_as_dirty(checkout: Path, tmp_path: Path) -> None:
    (checkout / "functions" / "app.py").write_text("pass\n")
    assert written(tmp_path)["commit"].endswith("-dirty")


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layers.release.ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert written(tmp_path).keys() == {"build_time"}
