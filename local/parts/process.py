"""A part of the system as a child process: started, awaited by a real probe, stopped; its output in a log file."""

import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from local.serving import bound

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 30.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02
_TAIL_LINES = 15


class PartFailed(Exception):
    """A part did not start, or ended; `log` is the file that tells more."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        super().__init__(f"{name} {reason}")
        self.name = name
        self.log = log

    def log_tail(self) -> str:
        """Return the last lines of the part's log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])


@dataclass(frozen=True)
class Account:
    """The operating-system user that a program runs as."""

    name: str
    uid: int
    gid: int

    def __str__(self) -> str:
        """Return the form that bound.py takes."""
        return f"{self.uid}:{self.gid}"


@dataclass(frozen=True)
class Launch:
    """How a program is started; `environment` and `account` None are those of this process, `log` gets the output."""

    command: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str] | None = None
    cwd: Path = ROOT
    death_signal: signal.Signals = signal.SIGTERM
    account: Account | None = None


def spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own: Ctrl-C in the terminal is not for it.

    It gets its `death_signal` when the *thread* that calls this ends, so call it from a thread that lives as long.
    """
    with launch.log.open("ab") as output:
        return subprocess.Popen(
            [*bound.launcher(launch.death_signal, str(launch.account or "-")), *launch.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=launch.environment,
            cwd=launch.cwd,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes], signals: Sequence[signal.Signals], seconds: float = STOP_SECONDS) -> None:
    """Send each signal in turn, waiting up to `seconds` after each, then SIGKILL to the whole session; reap."""
    for number in signals:
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(name: str, launch: Launch, seconds: float) -> None:
    """Run a program to its end; raise PartFailed when it fails or takes too long. Leaves no process behind."""
    process = spawn(launch)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired as expired:
        raise PartFailed(name, f"took longer than {seconds:.0f} s", launch.log) from expired
    finally:
        end(process, [launch.death_signal])
    if code != 0:
        raise PartFailed(name, f"failed (exit code {code})", launch.log)


class Part(ABC):
    """A program that serves while the system runs. Not safe for use by several threads at once."""

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
        """Say whether the program serves now; never raises because it does not yet."""

    @property
    def running(self) -> bool:
        """Whether the process lives (not: whether it serves)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the started program."""
        if self._process is None:
            raise PartFailed(self.name, "is not started", self.log)
        return self._process.pid

    def start(self) -> None:
        """Start the program and return at once; wait_ready() tells when it serves. Nothing happens when it runs."""
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_offset = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._spawn()

    @property
    def ending(self) -> str:
        """How the program ended, as the rest of a sentence about it."""
        code = self._process.returncode if self._process is not None else None
        if code is None:
            return "is not started"
        if code >= 0:
            return f"ended with exit code {code}"
        known = -code in signal.valid_signals()
        return f"was killed by {signal.Signals(-code).name if known else f'signal {-code}'}"

    def ready(self) -> bool:
        """Say at once whether the program serves; raise PartFailed when it has ended."""
        if not self.running:
            raise PartFailed(self.name, f"ended at start{self._exit_code()}", self.log)
        return self._probe()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Return when the program serves; raise PartFailed when it ends before, or does not serve within `seconds`."""
        deadline = time.monotonic() + seconds
        while not self.ready():
            if time.monotonic() > deadline:
                raise PartFailed(self.name, f"is not ready after {seconds:.0f} s", self.log)
            time.sleep(_POLL_SECONDS)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stop the program: asked first, killed after `seconds`. Nothing happens when it does not run."""
        if self._process is not None:
            end(self._process, self.stop_signals, seconds)
            self._process = None

    def kill(self) -> None:
        """End the program as a power cut would (SIGKILL), for tests of what survives."""
        if self._process is not None:
            end(self._process, ())
            self._process = None

    def restart(self, seconds: float = READY_SECONDS) -> None:
        """Stop, start on the same port and data, wait until it serves."""
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
        """Return what the program wrote since this start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace")

    def _ready_line(self) -> dict[str, Any] | None:
        """Return the JSON log line `{"message": "ready", ...}` of this start, if it is there."""
        for line in self._output().splitlines():
            if '"ready"' in line and line.startswith("{"):
                try:
                    entry = json.loads(line)
                except ValueError:  # not yet written to its end
                    return None
                if isinstance(entry, dict) and entry.get("message") == "ready":
                    return entry
        return None


@contextmanager
def stopped_on_error(part: Part) -> Iterator[None]:
    """Stop `part` when the block fails, Ctrl-C included."""
    try:
        yield
    except BaseException:
        part.stop()
        raise
