"""The signals that stop `make run`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """The user or the system asked to stop."""


class StopSignals:
    """Raises Stopped at SIGINT, SIGTERM and SIGHUP, but not while a block must not stop half-way."""

    def __init__(self) -> None:
        self._held = False
        self._pending = False

    def install(self) -> None:
        """Handle the signals, except a SIGHUP that the starter ignores (nohup)."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._arrived)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._arrived)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Deliver a signal that arrives inside the block after its end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending:
            raise Stopped

    def ignore(self) -> None:
        """Ignore the signals from now on: the stop has begun, and its time is limited."""
        self._held = True

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        if not self._pending:  # the first signal has begun the stop
            self._pending = True
            if not self._held:
                raise Stopped
