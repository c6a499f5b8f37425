"""CPU seconds and memory of processes and all their children, by parts of the system. Linux only."""

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_QUIET_SECONDS = 0.5
_QUIET_CPU = 0.02

# A text in the command line of a part, and the part's name.
_PARTS = {
    "local.gateway": "gateway and functions",
    "local.auth": "Auth",
    "server.js": "mail page",
    "nats-server": "NATS",
    "postgres": "PostgreSQL",
    "uvicorn": "monolith",
}


class ProcessTree:
    """The processes from `roots` on. An ended process counts if its parent has waited for it."""

    def __init__(self, *roots: int) -> None:
        """Take the process ids of the roots."""
        self._roots = roots

    def cpu(self) -> dict[str, float]:
        """Return CPU seconds by part, user and system, of all processes and of their ended children."""
        return self._by_part(_cpu)

    def settled_cpu(self, patience: float = 30.0) -> dict[str, float]:
        """Return CPU seconds by part when all processes are idle. So work that a request leaves for later counts too."""
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
        """Return the proportional set size by part in MB (1e6 bytes). A page that processes share counts once."""
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
    """Return the fields of /proc/PID/stat after the name, which may contain spaces. An ended process has none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _parents() -> dict[int, int]:
    found = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - it needs only names
        if entry.isdigit() and (fields := _stat(int(entry))):
            found[int(entry)] = int(fields[1])
    return found


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) * _TICK if fields else 0.0


def _pss(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # the process has ended
        return 0.0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def _part(pid: int, parents: dict[int, int]) -> str:
    """Return the part of a process: its own, or that of the nearest parent that has one."""
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
