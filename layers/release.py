"""Which release a build is of: the newest tag and the commit, and when it was built. ``users.release`` reads it.

The time makes the layer of each build different, so a deployment makes a new version of every function. Without it, a
deployment that changes only parameters would not reach the functions: SAM makes no new version for a new value of a
parameter (aws/serverless-application-model issue 3820). The alias would point to the version with the old variables.
"""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_SOURCES = ("functions", "layers")  # what is deployed


def write_release(users: Path) -> None:
    """Write ``release.json`` into the package ``users``. It contains no commit if ROOT is no checkout."""
    release = {"build_time": f"{datetime.now(UTC):%Y-%m-%d_%H:%M:%S}"}
    if commit := _git("log", "-1", "--abbrev=8", "--format=%h", "--", *_SOURCES):
        release["commit"] = commit + ("-dirty" if _git("status", "--porcelain", "--", *_SOURCES) else "")
    if version := _git("describe", "--tags", "--abbrev=0"):
        release["version"] = version
    (users / "release.json").write_text(json.dumps(release))


def _git(*arguments: str) -> str:
    """Return git's output, or "" if git fails."""
    try:
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
