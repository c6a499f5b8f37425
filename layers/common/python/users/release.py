"""The version of this code, and the commit and time of its build.

`VERSION` is the project's only version: CONTRIBUTING.md describes how it changes. `layers.build` writes the commit and
the time beside this module. Code that was not built has upstream's zero values for them.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

VERSION = "1.1.0-dev"

_FILE = Path(__file__).with_name("release.json")


class Release(NamedTuple):
    """The fields of ``/health`` (contract §1.6.25). ``build_time`` is in UTC."""

    version: str = VERSION
    commit: str = "ffffffff"
    build_time: str = "1970-01-01_00:00:00"


@cache
def release() -> Release:
    """Return the release that this code was built from."""
    return Release(**json.loads(_FILE.read_text())) if _FILE.exists() else Release()
