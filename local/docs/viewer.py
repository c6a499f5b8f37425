"""Copies Swagger UI's files for the function `docs` from the npm set `viewer` (`make generate`).

The files are committed, so that a deployment downloads nothing. A test fails if they differ from the lock file's. The
large ones are compressed, because most browsers accept that.
"""

import gzip
from pathlib import Path

from local.install import VIEWER

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "functions" / "docs"
SOURCE = VIEWER / "node_modules" / "swagger-ui-dist"
_COMPRESSED = ("swagger-ui-bundle.js", "swagger-ui.css")
_AS_THEY_ARE = ("favicon-32x32.png", "LICENSE", "NOTICE")


def files() -> dict[Path, bytes]:
    """Return the files with their current content. Raise FileNotFoundError without the npm set."""
    found = {TARGET / name: (SOURCE / name).read_bytes() for name in _AS_THEY_ARE}
    for name in _COMPRESSED:
        found[TARGET / f"{name}.gz"] = gzip.compress((SOURCE / name).read_bytes(), mtime=0)
    return found


def write() -> None:
    """Update the files."""
    for path, content in files().items():
        path.write_bytes(content)
