"""Swagger UI's files for the function `docs`, out of the npm set `viewer` (`make generate`).

They are committed, so that a deployment fetches nothing. A test tells when they are not those of the lock file. The
large ones are compressed, as most browsers take them.
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
    """The files, as they should be; FileNotFoundError where the set is not installed."""
    found = {TARGET / name: (SOURCE / name).read_bytes() for name in _AS_THEY_ARE}
    for name in _COMPRESSED:
        found[TARGET / f"{name}.gz"] = gzip.compress((SOURCE / name).read_bytes(), mtime=0)
    return found


def write() -> None:
    """Bring the files up to date."""
    for path, content in files().items():
        path.write_bytes(content)
