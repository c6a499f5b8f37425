"""A part of the system as a child process: start, probe, stop, and a log file for its output."""

import json
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from local.parts.launch import STOP_SECONDS, PartFailed, end

READY_SECONDS = 30.0
_POLL_SECONDS = 0.02


class Part(ABC):
    """A program that serves while the system runs. Only one thread may use it at a time."""

    name: ClassVar[str]
    stop_signals: ClassVar[Sequence[signal.Signals]] = (signal.SIGTERM,)

    def __init__(self, log: Path) -> None:
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._log_offset = 0

    @abstractmethod
    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the program."""

    @abstractmethod
    def _probe(self) -> bool:
        """Return whether the program serves now. Do not raise because it does not yet."""

    @property
    def running(self) -> bool:
        """Whether the process lives. It may not serve yet."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the started program."""
        if self._process is None:
            raise PartFailed(self.name, "is not started", self.log)
        return self._process.pid

    def start(self) -> None:
        """Start the program unless it runs, and return at once. wait_ready() returns when it serves."""
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_offset = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._spawn()

    @property
    def ending(self) -> str:
        """How the program ended, for a sentence that begins with its name."""
        code = self._process.returncode if self._process is not None else None
        if code is None:
            return "is not started"
        if code >= 0:
            return f"ended with exit code {code}"
        known = -code in signal.valid_signals()
        return f"was killed by {signal.Signals(-code).name if known else f'signal {-code}'}"

    def ready(self) -> bool:
        """Return at once whether the program serves. Raise PartFailed if it has ended."""
        if not self.running:
            raise PartFailed(self.name, f"ended at start{self._exit_code()}", self.log)
        return self._probe()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Return when the program serves. Raise PartFailed if it ends, or does not serve within `seconds`."""
        deadline = time.monotonic() + seconds
        while not self.ready():
            if time.monotonic() > deadline:
                raise PartFailed(self.name, f"is not ready after {seconds:.0f} s", self.log)
            time.sleep(_POLL_SECONDS)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stop the program if it runs: by its signals, and by SIGKILL after `seconds`."""
        if self._process is not None:
            end(self._process, self.stop_signals, seconds)
            self._process = None

    def kill(self) -> None:
        """End the program by SIGKILL, like a power cut."""
        if self._process is not None:
            end(self._process, ())
            self._process = None

    def restart(self, seconds: float = READY_SECONDS) -> None:
        """Stop the program, start it on the same port and data, and wait until it serves."""
        self.stop()
        self.start()
        self.wait_ready(seconds)

    def __enter__(self) -> Self:
        """Start and wait until ready."""
        with stopped_on_error(self):
            self.start()
            self.wait_ready()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop."""
        self.stop()

    def _exit_code(self) -> str:
        return f" (exit code {self._process.returncode})" if self._process else ""

    def _output(self) -> str:
        """Return the output of the program since this start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace")

    def _ready_line(self) -> dict[str, Any] | None:
        """Return the JSON log line `{"message": "ready", ...}` of this start, or None if it is not there yet."""
        for line in self._output().splitlines():
            if '"ready"' in line and line.startswith("{"):
                try:
                    entry = json.loads(line)
                except ValueError:  # the program is still writing it
                    return None
                if isinstance(entry, dict) and entry.get("message") == "ready":
                    return entry
        return None


@contextmanager
def stopped_on_error(part: Part) -> Iterator[None]:
    """Stop `part` if the block fails, also by Ctrl-C."""
    try:
        yield
    except BaseException:
        part.stop()
        raise
