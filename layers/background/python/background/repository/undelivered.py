"""Rows of the outbox that are not delivered: statements that show them, and free parked rows (docs/architecture.md).

A parked row blocks the channel of its own account. The operator lets the relay try it again from the start, or skips
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from users.repository.database import query
from users.repository.statements import Statement

_CHOSEN = (
    "(%(ids)s::text[] IS NULL OR o.id::text = ANY(%(ids)s)) AND (%(channel)s::text IS NULL OR o.channel = %(channel)s)"
)


_UNDELIVERED = Statement(
    "find_undelivered",
    """
        SELECT id::text, channel, name, user_id, extract(epoch FROM greatest(now() - created_at, '0'))::float AS age,
            attempts, next_attempt_at, parked_at, last_error, payload
        FROM users_outbox
        WHERE (%(channel)s::text IS NULL OR channel = %(channel)s) AND (NOT %(only_parked)s OR parked_at IS NOT NULL)
        ORDER BY seq LIMIT %(limit)s""",
)

_COUNT_PARKED = Statement(
    "count_parked", f"SELECT count(*) AS parked FROM users_outbox o WHERE o.parked_at IS NOT NULL AND {_CHOSEN}"
)


def _retry(name: str, condition: str) -> Statement:
    return Statement(
        name,
        f"""
        UPDATE users_outbox o SET attempts = 0, parked_at = NULL, last_error = NULL, next_attempt_at = now()
        WHERE {condition} AND {_CHOSEN} RETURNING o.id::text""",
    )


_RETRY_PARKED = _retry("retry_parked", "o.parked_at IS NOT NULL")
_RETRY_CHOSEN = _retry("retry_chosen", "o.last_error IS NOT NULL")

_SKIP = Statement(
    "skip_parked",
    f"""
        WITH skipped AS (
            DELETE FROM users_outbox o WHERE o.parked_at IS NOT NULL AND {_CHOSEN}
            RETURNING o.id::text, o.seq, o.channel, o.name, o.user_id
        )
        SELECT s.id, s.channel, s.name, s.user_id, (
            SELECT count(*) FROM users_outbox behind
            WHERE behind.user_id = s.user_id AND behind.channel = s.channel AND behind.seq > s.seq
                AND behind.seq NOT IN (SELECT seq FROM skipped)) AS freed
        FROM skipped s ORDER BY s.seq""",
)

_COUNT_CHANNELS = Statement(
    "count_channels",
    """
        SELECT channel, count(*) FILTER (WHERE parked_at IS NULL) AS waiting, count(parked_at) AS parked,
            COALESCE(extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE parked_at IS NULL)), 0)::float
                AS oldest_age
        FROM users_outbox GROUP BY channel""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A row that is not delivered. ``age`` is in seconds. ``payload`` contains personal data."""

    id: str
    channel: str
    name: str
    user_id: str | None
    age: float
    attempts: int
    next_attempt_at: datetime
    parked_at: datetime | None
    last_error: str | None
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A row that was given up, and the number of rows of its account and channel behind it."""

    id: str
    channel: str
    name: str
    user_id: str | None
    freed: int


@dataclass(frozen=True, slots=True)
class ChannelState:
    """One channel's rows. ``waiting`` are to be delivered, the oldest for ``oldest_age`` seconds (0.0 for none).

    ``parked`` rows were given up after their last try. Rows behind a parked row count as waiting.
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
        """The age of the oldest of these rows in seconds, 0.0 if there is none."""
        return max((channel.oldest_age for channel in self.channels.values()), default=0.0)

    @property
    def parked(self) -> int:
        """Rows that wait for an operator to retry or skip them."""
        return sum(channel.parked for channel in self.channels.values())


def undelivered(*, channel: str | None, only_parked: bool, limit: int) -> list[OutboxRow]:
    """Return the oldest rows, in the order of delivery."""
    parameters = {"channel": channel, "only_parked": only_parked, "limit": limit}
    return [OutboxRow(**row) for row in query(_UNDELIVERED, parameters, read_only=True)]


def count_parked(*, ids: Sequence[str] | None, channel: str | None) -> int:
    """Count the parked rows with these ids (None: any) in this channel (None: any)."""
    return int(query(_COUNT_PARKED, _choice(ids, channel), read_only=True)[0]["parked"])


def retry(*, ids: Sequence[str] | None, channel: str | None) -> list[str]:
    """Make rows due now, with all their tries again, and return their ids.

    With ids, also rows that wait for their next try after a refusal. With None, every parked row.
    """
    statement = _RETRY_PARKED if ids is None else _RETRY_CHOSEN
    return [row["id"] for row in query(statement, _choice(ids, channel), read_only=False)]


def skip(*, ids: Sequence[str] | None, channel: str | None) -> list[Skipped]:
    """Delete parked rows. They will never be delivered."""
    return [Skipped(**row) for row in query(_SKIP, _choice(ids, channel), read_only=False)]


def outbox_state() -> OutboxState:
    """Count the outbox, in one query."""
    rows = query(_COUNT_CHANNELS, {}, read_only=True)
    return OutboxState(
        {row["channel"]: ChannelState(row["waiting"], max(row["oldest_age"], 0.0), row["parked"]) for row in rows}
    )


def _choice(ids: Sequence[str] | None, channel: str | None) -> dict[str, Any]:
    return {"ids": None if ids is None else list(ids), "channel": channel}
