"""How much the outbox still holds: what the operator's CLI tells of it."""

from dataclasses import dataclass

from users.repository.database import query


@dataclass(frozen=True, slots=True)
class ChannelState:
    """One channel's rows. ``waiting`` are to be delivered, the oldest for ``oldest_age`` seconds (0.0 for none).

    ``parked`` were given up after their last try. What waits behind a parked row counts as waiting.
    """

    waiting: int
    oldest_age: float
    parked: int


@dataclass(frozen=True, slots=True)
class OutboxState:
    """Every channel that has rows, by its name."""

    channels: dict[str, ChannelState]

    @property
    def outstanding(self) -> int:
        """Rows that are not delivered and not parked."""
        return sum(channel.waiting for channel in self.channels.values())

    @property
    def oldest_age(self) -> float:
        """Seconds since the oldest of them was written; 0.0 when there is none."""
        return max((channel.oldest_age for channel in self.channels.values()), default=0.0)

    @property
    def parked(self) -> int:
        """Rows that wait for an operator to retry or skip them."""
        return sum(channel.parked for channel in self.channels.values())


def outbox_state() -> OutboxState:
    """Count the outbox, in one query; Unavailable when the database is away."""
    statement = """
        SELECT channel, count(*) FILTER (WHERE parked_at IS NULL) AS waiting, count(parked_at) AS parked,
            COALESCE(extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE parked_at IS NULL)), 0)::float
                AS oldest_age
        FROM users_outbox GROUP BY channel"""
    rows = query(statement, {}, read_only=True)
    return OutboxState(
        {row["channel"]: ChannelState(row["waiting"], max(row["oldest_age"], 0.0), row["parked"]) for row in rows}
    )
