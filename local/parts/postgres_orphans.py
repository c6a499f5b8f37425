"""The server processes of PostgreSQL whose postmaster was killed.

An idle one sees at once that the postmaster is gone, and ends. One that computes goes on until its statement is done,
and no new server can start meanwhile: both would write the same data.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PATIENCE = 5.0  # seconds between the request to end and the end by force
_POLL_SECONDS = 0.02


def end_orphans(data_dir: Path) -> None:
    """End the server processes on `data_dir` that have no postmaster any more; return when they are gone."""
    number = signal.SIGQUIT  # for a server process: leave at once, without a word to the client
    deadline = time.monotonic() + _PATIENCE
    while orphans := list(_orphans(data_dir)):
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(_POLL_SECONDS)


def _orphans(data_dir: Path) -> Iterator[int]:
    """A postmaster and its processes work in the data directory: an orphan is one whose parent does not."""
    processes = [int(place.name) for place in Path("/proc").glob("[0-9]*")]
    at_work = {pid for pid in processes if _works_in(pid, data_dir)}
    for pid in at_work:
        if (parent := _parent(pid)) is not None and parent not in at_work and _is_server_process(pid):
            yield pid


def _works_in(pid: int, data_dir: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data_dir.resolve()
    except OSError:  # it has ended, or belongs to somebody else
        return False


def _parent(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]) if fields[0] != "Z" else None


def _is_server_process(pid: int) -> bool:
    """A server process calls itself `postgres: …`; a postmaster's command line is the one that started it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"postgres: ")
    except OSError:
        return False
