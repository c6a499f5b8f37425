"""Record the commit and the time of a build in the layer, for ``users.release``.

The time gives each build its own layer, and so each deployment a new version of every function. SAM publishes no new
version when only the value of a parameter changes (aws/serverless-application-model issue 3820). Without the time, the
alias would still lead to the version with the old variables after such a deployment.
"""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_SOURCES = ("functions", "layers")  # the deployed code


def write_release(users: Path) -> None:
    """Write ``release.json`` into the package ``users``, without a commit if ROOT is no checkout."""
    release = {"build_time": f"{datetime.now(UTC):%Y-%m-%d_%H:%M:%S}"}
    if commit := _git("log", "-1", "--abbrev=8", "--format=%h", "--", *_SOURCES):
        release["commit"] = commit + ("-dirty" if _git("status", "--porcelain", "--", *_SOURCES) else "")
    (users / "release.json").write_text(json.dumps(release))


def _git(*arguments: str) -> str:
    """Return the output of git. It is empty if git fails or is missing."""
    try:
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
