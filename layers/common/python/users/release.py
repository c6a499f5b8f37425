"""Which build this is: what `layers.build` wrote beside this module, upstream's zero values where nothing was built."""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

_FILE = Path(__file__).with_name("release.json")


class Release(NamedTuple):
    """As ``/health`` tells it (contract §1.6.25); ``build_time`` is in UTC."""

    version: str = "0.0.0"
    commit: str = "ffffffff"
    build_time: str = "1970-01-01_00:00:00"


@cache
def release() -> Release:
    """The release that this code was built from."""
    return Release(**json.loads(_FILE.read_text())) if _FILE.exists() else Release()
