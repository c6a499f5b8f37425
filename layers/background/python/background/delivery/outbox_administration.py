"""Looking at the outbox, and freeing what is parked in it (decisions 28).

A parked row blocks its own account's channel: it is tried again from the start, or given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from users.repository.database import query

_CHOSEN = (
    "(%(ids)s::text[] IS NULL OR o.id::text = ANY(%(ids)s)) AND (%(channel)s::text IS NULL OR o.channel = %(channel)s)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A row that is not delivered. ``age`` is in seconds; ``payload`` holds personal data."""

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
    """A row that was given up, and how many rows of its account and channel waited behind it."""

    id: str
    channel: str
    name: str
    user_id: str | None
    freed: int


def undelivered(*, channel: str | None, only_parked: bool, limit: int) -> list[OutboxRow]:
    """The oldest rows, in the order of delivery."""
    statement = """
        SELECT id::text, channel, name, user_id, extract(epoch FROM greatest(now() - created_at, '0'))::float AS age,
            attempts, next_attempt_at, parked_at, last_error, payload
        FROM users_outbox
        WHERE (%(channel)s::text IS NULL OR channel = %(channel)s) AND (NOT %(only_parked)s OR parked_at IS NOT NULL)
        ORDER BY seq LIMIT %(limit)s"""
    parameters = {"channel": channel, "only_parked": only_parked, "limit": limit}
    return [OutboxRow(**row) for row in query(statement, parameters, read_only=True)]


def count_parked(*, ids: Sequence[str] | None, channel: str | None) -> int:
    """How many parked rows a choice by ids (None: all) and channel (None: all) means."""
    statement = f"SELECT count(*) AS parked FROM users_outbox o WHERE o.parked_at IS NOT NULL AND {_CHOSEN}"
    parameters = {"ids": None if ids is None else list(ids), "channel": channel}
    return int(query(statement, parameters, read_only=True)[0]["parked"])


def retry(*, ids: Sequence[str] | None, channel: str | None) -> list[str]:
    """Make rows due now, with all their tries before them; their ids.

    By ids also rows that wait for their next try after a refusal; with None, every parked row.
    """
    condition = "o.parked_at IS NOT NULL" if ids is None else "o.last_error IS NOT NULL"
    statement = f"""
        UPDATE users_outbox o SET attempts = 0, parked_at = NULL, last_error = NULL, next_attempt_at = now()
        WHERE {condition} AND {_CHOSEN} RETURNING o.id::text"""
    parameters = {"ids": None if ids is None else list(ids), "channel": channel}
    return [row["id"] for row in query(statement, parameters, read_only=False)]


def skip(*, ids: Sequence[str] | None, channel: str | None) -> list[Skipped]:
    """Delete parked rows: what they tell is never delivered."""
    statement = f"""
        WITH skipped AS (
            DELETE FROM users_outbox o WHERE o.parked_at IS NOT NULL AND {_CHOSEN}
            RETURNING o.id::text, o.seq, o.channel, o.name, o.user_id
        )
        SELECT s.id, s.channel, s.name, s.user_id, (
            SELECT count(*) FROM users_outbox behind
            WHERE behind.user_id = s.user_id AND behind.channel = s.channel AND behind.seq > s.seq
                AND behind.seq NOT IN (SELECT seq FROM skipped)) AS freed
        FROM skipped s ORDER BY s.seq"""
    parameters = {"ids": None if ids is None else list(ids), "channel": channel}
    return [Skipped(**row) for row in query(statement, parameters, read_only=False)]
