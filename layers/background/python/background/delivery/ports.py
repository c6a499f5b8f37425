"""The ports of the outbox: the rows from the relay to a destination, and the outcomes from the destination.

A channel imports this module, and not the relay.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class DestinationUnavailable(Exception):
    """A destination, such as SES, is away. It accepted neither this row nor a later one, and the row is not wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A claimed outbox row. ``attempts`` includes the present one."""

    seq: int
    id: str
    user_id: str | None
    channel: str
    name: str
    payload: Mapping[str, Any]
    attempts: int
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for a row. ``refusal`` is the destination's reason, empty when it accepted the row."""

    row: Row
    refusal: str = ""


class Channel(Protocol):
    """A destination."""

    batch: int  # rows that the relay claims at once, at most
    group: int  # rows that it hands over and settles together, and that it repeats when it was killed

    def deliver(self, rows: list[Row]) -> Iterable[Outcome]:
        """Deliver rows of different accounts. Yield each outcome at once. DestinationUnavailable ends the delivery."""

    def close(self) -> None:
        """Release connections at the end of a run."""
