"""The ports of the outbox: what the relay hands to a destination, and what a destination answers.

A channel imports this module alone, and not the relay.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class DestinationUnavailable(Exception):
    """SES, NATS, SpiceDB is away: nothing was taken from the row on, and nothing is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A claimed outbox row. ``attempts`` counts this one."""

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
    """What became of a row. ``refusal``: why the destination would not take it, empty when it did."""

    row: Row
    refusal: str = ""


class Channel(Protocol):
    """A destination."""

    batch: int  # rows that are claimed at once, at most
    group: int  # rows that are handed over at once, and settled together: a killed relay sends as many again

    def deliver(self, rows: list[Row]) -> Iterable[Outcome]:
        """Deliver rows of different accounts, telling each outcome as it is known; DestinationUnavailable ends it."""

    def close(self) -> None:
        """Let go of connections: the run is over."""
