"""A running system for load.py, and its first requests."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load_clients import Operation, ask
from process_tree import ProcessTree

ACCOUNTS = 64
_READY_SECONDS = 120.0


@dataclass(frozen=True)
class System:
    """A running system: its port, its processes, its operations, and the seconds of each operation's first request."""

    name: str
    port: int
    tree: ProcessTree
    operations: list[Operation]
    first: dict[str, float]


class Caller:
    """Sends one request at a time, and records the seconds of the first one of each kind."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.first: dict[str, float] = {}

    def __call__(self, kind: str, sent: bytes) -> Any:
        """Send a request of a kind, and return the answer."""
        answer, seconds = ask(self._port, sent)
        self.first.setdefault(kind, seconds)
        return answer


def ask_once(call: Caller, operation: Operation) -> None:
    """Send the first request of an operation."""
    answer = call(operation.name, operation.request(0))
    operation.answered(0, json.dumps(answer).encode())


def wait_until_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    """Return when the process is ready. Raise RuntimeError with its log if it ends or takes too long."""
    deadline = time.monotonic() + _READY_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the system does not start:\n{log.read_text()}")
        time.sleep(0.1)
