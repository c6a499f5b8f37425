"""The log files of the parts: moved aside at each start and when they are large. A few of each remain.

A running part keeps its file open, and would go on writing to a renamed one. So a large log is copied and then emptied.
The part appends, and goes on at the beginning.
"""

import shutil
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 10 * 1024 * 1024  # of one file
KEPT = 3  # older files of each part. part.log.1 is the newest.


def set_aside(log: Path) -> None:
    """Rename a log to the newest of the older ones, so that its part begins a new one."""
    if log.exists():
        _make_room(log)
        log.rename(_older(log, 1))


def keep_small(log: Path) -> None:
    """Copy a log to the newest of the older ones and empty it, if it is large and its part runs.

    A line is lost if the part writes it between the copy and the emptying, a moment far below a millisecond. On a full
    disk the whole log is lost, which makes room for the parts' data.
    """
    with suppress(FileNotFoundError):
        if log.stat().st_size < MOST_BYTES:
            return
        _make_room(log)
        copy = _older(log, 1)
        with log.open("rb+") as source:
            try:
                copy.touch(mode=log.stat().st_mode & 0o777)
                with copy.open("wb") as target:
                    shutil.copyfileobj(source, target)
            except OSError:
                copy.unlink(missing_ok=True)
            source.truncate(0)


def _make_room(log: Path) -> None:
    for number in range(KEPT - 1, 0, -1):
        with suppress(FileNotFoundError):
            _older(log, number).replace(_older(log, number + 1))


def _older(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
