"""Channels that are kept from run to run of one execution environment: connecting may take longer than an event.

Lambda stops the process between two runs, for minutes. A channel has to notice itself that its connection broke
meanwhile. One that fails is closed, and the next run makes another.
"""

from collections.abc import Callable, Iterator

from background.delivery.ports import Channel, Outcome, Row
from users.snapstart import not_in_snapshots

_kept: dict[str, Channel] = {}


class KeptChannel:
    """A channel that the end of a run leaves open."""

    def __init__(self, name: str, make: Callable[[], Channel]) -> None:
        """Take the one that is kept under ``name``, or ``make`` it."""
        if name not in _kept:
            _kept[name] = make()
        self._name, self._channel = name, _kept[name]
        self.batch, self.group = self._channel.batch, self._channel.group

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Deliver; whatever ends that early ends the channel, too."""
        succeeded = False
        try:
            yield from self._channel.deliver(rows)
            succeeded = True
        finally:
            if not succeeded:
                _kept.pop(self._name, None)
                self._channel.close()

    def close(self) -> None:
        """Nothing: the run is over, and the channel serves the next one."""


@not_in_snapshots
def close() -> None:
    """Close all; the next run makes its own."""
    while _kept:
        _kept.popitem()[1].close()
