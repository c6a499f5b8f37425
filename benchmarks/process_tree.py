"""What a process and everything that it started have used: CPU seconds, and memory by parts. Linux only."""

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_QUIET_SECONDS = 0.5
_QUIET_CPU = 0.02

# What the command line of a part holds, and what it is called.
_PARTS = {
    "local.gateway": "gateway and functions",
    "local.auth": "Auth",
    "server.js": "mail page",
    "nats-server": "NATS",
    "postgres": "PostgreSQL",
    "uvicorn": "monolith",
}


class ProcessTree:
    """The processes that begin at `roots`; those that have ended count as long as a process here has waited for them."""

    def __init__(self, *roots: int) -> None:
        """Look at the tree below these process ids."""
        self._roots = roots

    def cpu(self) -> dict[str, float]:
        """CPU seconds by part, user and system, of all processes, and of their children that have ended."""
        return self._by_part(_cpu)

    def settled_cpu(self, patience: float = 30.0) -> dict[str, float]:
        """CPU seconds by part once nothing works any more: what requests have left to be done belongs to them."""
        deadline = time.monotonic() + patience
        before = self.cpu()
        while time.monotonic() < deadline:
            time.sleep(_QUIET_SECONDS)
            now = self.cpu()
            if sum(now.values()) - sum(before.values()) <= _QUIET_CPU:
                return now
            before = now
        return before

    def memory(self) -> dict[str, float]:
        """Proportional set size by part, in MB (1e6 bytes): pages that several processes share count once."""
        return self._by_part(_pss)

    def _by_part(self, measure: Callable[[int], float]) -> dict[str, float]:
        found: defaultdict[str, float] = defaultdict(float)
        parents = _parents()
        for pid in self._pids():
            found[_part(pid, parents)] += measure(pid)
        return dict(found)

    def _pids(self) -> list[int]:
        children: defaultdict[int, list[int]] = defaultdict(list)
        for pid, parent in _parents().items():
            children[parent].append(pid)
        found: list[int] = []
        waiting = list(self._roots)
        while waiting:
            found.append(pid := waiting.pop())
            waiting += children[pid]
        return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold spaces; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _parents() -> dict[int, int]:
    found = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if entry.isdigit() and (fields := _stat(int(entry))):
            found[int(entry)] = int(fields[1])
    return found


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) * _TICK if fields else 0.0


def _pss(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0.0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def _part(pid: int, parents: dict[int, int]) -> str:
    """The name of the part that a process belongs to: its own, or the nearest one above it that has one."""
    while pid in parents:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            command = ""
        for mark, name in _PARTS.items():
            if mark in command:
                return name
        pid = parents[pid]
    return "supervisor"
