"""Keeps a part alive: starts it again after growing pauses, and gives up in the end."""

import time
from collections.abc import Callable

from local.parts.launch import PartFailed
from local.parts.process import READY_SECONDS, Part

FIRST_PAUSE = 0.2  # seconds
LONGEST_PAUSE = 10.0
HEALTHY_SECONDS = 60.0  # earlier ends do not count after this time
MOST_ENDS = 8  # this takes about 30 seconds if each start fails at once


class Keeper:
    """Keeps one part that serves now. Its ports, sockets and data stay the same.

    look() never waits: it takes the next step if its time has come. So one thread keeps all parts.
    """

    def __init__(
        self,
        part: Part,
        start: Callable[[Part], None],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`start` starts the part. `say` prints a line on the terminal."""
        self.part = part
        self._start = start
        self._say = say
        self._clock = clock
        self._look: Callable[[float], None] = self._serving
        self._serves_since = clock()
        self._ends = 0
        self._first_end = 0.0
        self._last_end = 0.0
        self._due = 0.0  # the time of the next start, or the deadline of the last one

    @property
    def serves(self) -> bool:
        """Whether the part served at the last look."""
        return self._look == self._serving

    def look(self) -> None:
        """Notice that the part has ended, start it, or notice that it serves. Raise PartFailed to give up."""
        self._look(self._clock())

    def _serving(self, now: float) -> None:
        if self.part.running:
            return
        if now - self._serves_since >= HEALTHY_SECONDS:
            self._ends = 0
        self._ended(now, self.part.ending)

    def _pausing(self, now: float) -> None:
        if now < self._due:
            return
        try:
            self._start(self.part)
        except (PartFailed, OSError) as failure:  # the machine may lack memory, processes or disk space
            self._ended(now, f"cannot be started ({failure})")
            return
        self._due = self._clock() + READY_SECONDS
        self._look = self._starting

    def _starting(self, now: float) -> None:
        try:
            ready = self.part.ready()
        except PartFailed:
            self._ended(now, self.part.ending)
            return
        if ready:
            self._serves_since = now
            self._look = self._serving
            self._say(f"{self.part.name} serves again, {now - self._last_end:.1f} s after it ended.")
        elif now > self._due:
            self.part.kill()
            self._ended(now, f"did not serve within {READY_SECONDS:.0f} s")

    def _ended(self, now: float, how: str) -> None:
        self._ends += 1
        self._last_end = now
        if self._ends == 1:
            self._first_end = now
        if self._ends >= MOST_ENDS:
            times = f"it ended {self._ends} times within {now - self._first_end:.0f} s (the last time it {how})"
            raise PartFailed(self.part.name, f"cannot be kept alive: {times}", self.part.log)
        pause = min(FIRST_PAUSE * 2 ** (self._ends - 1), LONGEST_PAUSE)
        self._due = now + pause
        self._look = self._pausing
        self._say(f"{self.part.name} {how}; it starts again in {pause:.1f} s. Its log: {self.part.log}")
