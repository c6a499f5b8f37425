"""Which release a build is of, by git: what ``users.release`` reads."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# A commit that changes neither leaves the layer, and so the functions, as they are.
_SOURCES = ("functions", "layers")


def write_release(users: Path) -> None:
    """Write ``release.json`` into the package ``users``; nothing where ROOT is no checkout, or git is not installed.

    The newest tag, and the last commit that changed what is deployed: the same source gives the same bytes.
    """
    try:
        commit, build_time = _git(
            "log", "-1", "--abbrev=8", "--format=%h %cd", "--date=format-local:%Y-%m-%d_%H:%M:%S", "--", *_SOURCES
        ).split()
        changed = _git("status", "--porcelain", "--", *_SOURCES)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return
    try:
        version = _git("describe", "--tags", "--abbrev=0")
    except subprocess.CalledProcessError:  # no tag yet
        version = "0.0.0"
    release = {"version": version, "commit": commit + ("-dirty" if changed else ""), "build_time": build_time}
    (users / "release.json").write_text(json.dumps(release))


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", ROOT, *arguments],
        env={**os.environ, "TZ": "UTC"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()
