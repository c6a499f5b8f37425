"""When a run of the relay looks at the outbox again, so that few changes have to wake another run.

The one row of ``users_relay`` holds the time of the next sure look: ``looks_until``, by the database's clock. A
committed change reads it (users.repository.outbox.must_wake). Before that time the change wakes nobody. After it the
change wakes a run, and writes the wake-up into the row, without a ``run_id``: further changes rely on that run.

A run that finds such a wake-up replaces it by its own ``run_id`` and a promise, and looks again when the promised time
has come. So no change is missed, whichever time it has read: the first look finds it, or the promised one. The first
promise is short, because a single change is the usual case and waiting costs money. The run renews it as long as
changes come. A killed run breaks a promise of less than a second: the next change after it wakes another run.

While a promise stands, the run delivers nothing that may take long. A mail server may take seconds, and the events of
changes that woke nobody would wait for it.
"""

import time
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from background.repository import deliveries

# Seconds of a run's first promise. Delivering one event takes most of this time anyway.
_FIRST = 0.1
# Seconds of each further promise. They cost as much as two runs. At five changes a second, one more change comes.
_RENEWED = 0.3
# A promise is renewed when less than this is left of it. A delivery that takes longer lets it end: the next change
# then wakes another run.
_RENEWED_BELOW = timedelta(seconds=0.2)
# Seconds between two looks. Waking a run takes longer.
_PAUSE = 0.01
# Channels whose rows take milliseconds as long as nothing is wrong.
_QUICK = {"event", "reset_request"}


class Lookout:
    """The looks of one run, and its promises."""

    def __init__(self, may_linger: Callable[[], bool]) -> None:
        """Begin. ``may_linger`` returns whether there is time to promise another look."""
        self._run = uuid.uuid4()
        self._may_linger = may_linger
        self._at: datetime | None = None  # the time of the last look
        self._promised: datetime | None = None

    def look(self, channels: Iterable[str]) -> list[str]:
        """Return the channels that have a row to deliver and may have their turn now. Promise another look."""
        seen = deliveries.look(channels)
        is_first, self._at, due = self._at is None, seen.at, seen.due
        if is_first and seen.is_woken:
            # With its promise the run replaces the wake-up that further changes rely on.
            self._promise(_FIRST if due and _QUICK.issuperset(due) and self._may_linger() else 0.0)
        elif due and timedelta() < self._left() < _RENEWED_BELOW and _QUICK.issuperset(due) and self._may_linger():
            self._promise(_RENEWED)
        return [name for name in due if name in _QUICK] if self._left() > timedelta() else due

    def wait(self) -> bool:
        """Wait a moment for the next look. Return False when no further look was promised."""
        left = self._left().total_seconds()
        if left <= 0:
            return False
        time.sleep(min(left, _PAUSE))
        return True

    def _left(self) -> timedelta:
        """Return how long after the last look the promise still stands: not positive if that look has kept it."""
        return self._promised - self._at if self._promised and self._at else timedelta()

    def _promise(self, seconds: float) -> None:
        """Promise a look after so many seconds or later. If another run has promised one, it stays its duty."""
        self._promised = deliveries.promise(self._run, seconds) or self._promised
