"""Channels that stay open between the runs of one execution environment, because connecting may take long.

Lambda stops the process between two runs, for minutes. The channel itself must detect that its connection broke
meanwhile. A channel that fails is closed, and the next run makes another.
"""

from collections.abc import Callable, Iterator

from background.delivery.ports import Channel, Outcome, Row
from users.snapstart import not_in_snapshots

_kept: dict[str, Channel] = {}


class KeptChannel:
    """A channel that the end of a run leaves open."""

    def __init__(self, name: str, make: Callable[[], Channel]) -> None:
        """Take the channel that is kept under ``name``, or ``make`` it."""
        if name not in _kept:
            _kept[name] = make()
        self._name, self._channel = name, _kept[name]
        self.batch, self.group = self._channel.batch, self._channel.group

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Deliver. Close the channel when the delivery ends early."""
        succeeded = False
        try:
            yield from self._channel.deliver(rows)
            succeeded = True
        finally:
            if not succeeded:
                _kept.pop(self._name, None)
                self._channel.close()

    def close(self) -> None:
        """Leave the channel open for the next run."""


@not_in_snapshots
def close() -> None:
    """Close all channels. The next run makes new ones."""
    while _kept:
        _kept.popitem()[1].close()
