"""What a build says of its release: by git, and the same for the same source."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from layers.release import write_release


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a commit of a function at a known moment."""
    place = tmp_path / "checkout"
    (place / "functions").mkdir(parents=True)
    (place / "functions" / "app.py").write_text("")
    monkeypatch.setattr("layers.release.ROOT", place)
    git(place, "init", "--quiet")
    commit(place, "2026-11-25T13:00:00+01:00")
    return place


def git(place: Path, *arguments: str, **variables: str) -> str:
    command = ["git", "-c", "user.name=somebody", "-c", "user.email=somebody@example.com", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True, text=True).stdout


def commit(place: Path, moment: str) -> str:
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--message", "a change", GIT_AUTHOR_DATE=moment, GIT_COMMITTER_DATE=moment)
    return git(place, "rev-parse", "--short=8", "HEAD").strip()


def written(tmp_path: Path) -> dict[str, str]:
    write_release(tmp_path)
    release: dict[str, str] = json.loads((tmp_path / "release.json").read_text())
    return release


def test_the_last_commit_of_what_is_deployed(checkout: Path, tmp_path: Path) -> None:
    of_code = git(checkout, "rev-parse", "--short=8", "HEAD").strip()
    (checkout / "README.md").write_text("")
    commit(checkout, "2026-11-25T14:00:00+01:00")
    assert written(tmp_path) == {"version": "0.0.0", "commit": of_code, "build_time": "2026-11-25_12:00:00"}


def test_the_newest_tag_is_the_version(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "tag", "v1.2.3")
    assert written(tmp_path)["version"] == "v1.2.3"


def test_what_is_not_committed_is_told(checkout: Path, tmp_path: Path) -> None:
    (checkout / "functions" / "app.py").write_text("pass\n")
    assert written(tmp_path)["commit"].endswith("-dirty")


def test_nothing_is_told_of_what_is_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layers.release.ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    write_release(tmp_path)
    assert not (tmp_path / "release.json").exists()
