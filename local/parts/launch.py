"""Programs as child processes: start one, end one, run one to its end."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.serving import bound

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 10.0
_TAIL_LINES = 15


class PartFailed(Exception):
    """A part did not start, or ended. The file `log` contains more."""

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
    """The operating-system user of a program."""

    name: str
    uid: int
    gid: int

    def __str__(self) -> str:
        """Return the form that bound.py takes."""
        return f"{self.uid}:{self.gid}"


@dataclass(frozen=True)
class Launch:
    """A command and its surroundings. `log` gets the output.

    Without `environment` and `account`, those of this process count.
    """

    command: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str] | None = None
    cwd: Path = ROOT
    death_signal: signal.Signals = signal.SIGTERM
    account: Account | None = None


def spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, which Ctrl-C in the terminal does not reach.

    The program gets its `death_signal` when the *thread* that calls this ends.
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
    """End a process: send each signal and wait up to `seconds`, then send SIGKILL to the whole session."""
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
    """Run a program to its end, and leave no process behind. Raise PartFailed if it fails or takes too long."""
    process = spawn(launch)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired as expired:
        raise PartFailed(name, f"took longer than {seconds:.0f} s", launch.log) from expired
    finally:
        end(process, [launch.death_signal])
    if code != 0:
        raise PartFailed(name, f"failed (exit code {code})", launch.log)
