"""The processes of this machine, for tests that no process is left behind."""

import os
import time
from collections.abc import Callable
from pathlib import Path


def processes_of(place: Path) -> dict[int, str]:
    """Return the live processes that name `place` in their command line or environment: {pid: command line}."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:  # it has ended, or belongs to another user
            continue
        if os.fsencode(place) in command + b"\0" + environment:
            found[int(process.name)] = command.replace(b"\0", b" ").decode()
    return found


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
