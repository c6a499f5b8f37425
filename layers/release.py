"""Which release a build is of: the newest tag and the commit, and when it was built. ``users.release`` reads it.

The time makes each build another layer, and so, when it is deployed, another version of every function. Without it a
deployment that changes parameters alone would change nothing that runs: SAM makes no new version for another value of a
parameter (aws/serverless-application-model issue 3820), and the alias would lead to the one with the old variables.
"""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_SOURCES = ("functions", "layers")  # what is deployed


def write_release(users: Path) -> None:
    """Write ``release.json`` into the package ``users``: without a commit where ROOT is no checkout."""
    release = {"build_time": f"{datetime.now(UTC):%Y-%m-%d_%H:%M:%S}"}
    if commit := _git("log", "-1", "--abbrev=8", "--format=%h", "--", *_SOURCES):
        release["commit"] = commit + ("-dirty" if _git("status", "--porcelain", "--", *_SOURCES) else "")
    if version := _git("describe", "--tags", "--abbrev=0"):
        release["version"] = version
    (users / "release.json").write_text(json.dumps(release))


def _git(*arguments: str) -> str:
    """What git prints; nothing where it cannot tell."""
    try:
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
