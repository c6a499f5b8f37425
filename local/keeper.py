"""Keeps a part alive: starts it anew when it has ended, after pauses that grow, and gives it up in the end."""

import time
from collections.abc import Callable

from local.parts.process import READY_SECONDS, Part, PartFailed

FIRST_PAUSE = 0.2  # seconds
LONGEST_PAUSE = 10.0
HEALTHY_SECONDS = 60.0  # after which earlier ends do not count any more
MOST_ENDS = 8  # without such a time between: about 30 seconds


class Keeper:
    """One part that serves now and shall go on serving. Its ports, sockets and data stay the same.

    It never waits: look() does what is due at this moment, so that one thread keeps all parts.
    """

    def __init__(
        self,
        part: Part,
        start: Callable[[Part], None],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`start` starts the part, `say` tells a line of text to whoever looks at the terminal."""
        self.part = part
        self._start = start
        self._say = say
        self._clock = clock
        self._look: Callable[[float], None] = self._serving
        self._serves_since = clock()
        self._ends = 0
        self._first_end = 0.0
        self._last_end = 0.0
        self._due = 0.0  # of the next start, or of the readiness of the last one

    @property
    def serves(self) -> bool:
        """Whether the part served when it was last looked at."""
        return self._look == self._serving

    def look(self) -> None:
        """Notice that the part ended, or start it, or notice that it serves. Raise PartFailed to give it up."""
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
        except (PartFailed, OSError) as failure:  # the system may lack memory, processes or room on the disk
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
