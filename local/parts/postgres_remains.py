"""The processes that a killed PostgreSQL leaves behind.

An idle server process notices at once that its postmaster is gone, and ends. A busy one ends after its statement. No
new server can start before, because both would write the same data.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PATIENCE = 5.0  # seconds between the request to end and the end by force
_POLL_SECONDS = 0.02


def postmaster(pid_file: Path) -> int | None:
    """Return the process in `pid_file`, or None if this number belongs to another program now."""
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(pid_file.parent) in command else None


def end_orphans(data_dir: Path) -> None:
    """End the server processes on `data_dir` that have no postmaster any more. Return when they are gone."""
    number = signal.SIGQUIT  # a server process exits at once, without a message to the client
    deadline = time.monotonic() + _PATIENCE
    while orphans := list(_orphans(data_dir)):
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(_POLL_SECONDS)


def _orphans(data_dir: Path) -> Iterator[int]:
    """Return the orphans. A postmaster and its processes work in the data directory, but not an orphan's parent."""
    processes = [int(place.name) for place in Path("/proc").glob("[0-9]*")]
    at_work = {pid for pid in processes if _works_in(pid, data_dir)}
    for pid in at_work:
        if (parent := _parent(pid)) is not None and parent not in at_work and _is_server_process(pid):
            yield pid


def _works_in(pid: int, data_dir: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data_dir.resolve()
    except OSError:  # the process has ended, or belongs to another user
        return False


def _parent(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]) if fields[0] != "Z" else None


def _is_server_process(pid: int) -> bool:
    """Return whether the process is titled `postgres: …`, unlike a postmaster."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"postgres: ")
    except OSError:
        return False
