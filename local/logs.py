"""The log files of the parts: set aside at each start and when they have grown, a few of each kept.

The parts write to files that they inherit, and would go on writing to one that is renamed. So a log that has grown is
copied, and then emptied: the parts append, and go on at the beginning.
"""

import shutil
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 10 * 1024 * 1024  # of one file, and of what a part may write between two looks
KEPT = 3  # older ones of each: part.log.1 is the newest


def set_aside(log: Path) -> None:
    """Let a part begin a new log: the one that is there becomes the newest of the older ones."""
    if log.exists():
        _make_room(log)
        log.rename(_older(log, 1))


def keep_small(log: Path) -> None:
    """Set aside what is in a log that a part writes to, when it is large.

    A line that the part writes between the end of the copy and the emptying is lost: that is far below a millisecond.
    On a disk that is full all of it is dropped, which makes room for what the parts have to keep.
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
