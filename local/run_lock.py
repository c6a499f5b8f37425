"""The lock of a data directory: only one `make run` uses it at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from local.checks import CannotRun


@contextmanager
def only_one(local: Path) -> Iterator[bool]:
    """Hold the lock. Yield whether the last run ended without releasing it in order. Raise CannotRun."""
    with (local / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotRun(f"It runs already, as process {lock.read().strip()}; Ctrl-C there stops it.") from None
        try:
            yield _replace_text(lock, str(os.getpid()))
        finally:
            _replace_text(lock, "")


def _replace_text(file: TextIO, text: str) -> bool:
    """Replace the content of an open file. Return whether it had any."""
    file.seek(0)
    before = file.read()
    file.truncate(0)
    file.write(text)
    file.flush()
    return bool(before)
