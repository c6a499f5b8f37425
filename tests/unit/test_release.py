"""What a build says of its release: by git and the clock."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from layers.release import write_release


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a commit of a function."""
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
    """Or a deployment of other parameters would reach no function."""
    before = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    built = datetime.strptime(written(tmp_path)["build_time"], "%Y-%m-%d_%H:%M:%S")  # noqa: DTZ007 -- as upstream's, in UTC
    assert before <= built <= datetime.now(UTC).replace(tzinfo=None)


def test_the_newest_tag_is_the_version(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "tag", "v1.2.3")
    assert written(tmp_path)["version"] == "v1.2.3"


def test_what_is_not_committed_is_told(checkout: Path, tmp_path: Path) -> None:
    (checkout / "functions" / "app.py").write_text("pass\n")
    assert written(tmp_path)["commit"].endswith("-dirty")


def test_no_commit_is_told_of_what_is_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layers.release.ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert written(tmp_path).keys() == {"build_time"}
