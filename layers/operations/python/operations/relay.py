"""Delivering the outbox (architecture.md, "The outbox"): claim, deliver, settle, until nothing is due.

A claim is a lease in the row, so that no transaction is open while a mail is sent, and a relay that is killed leaves
rows that become due again: delivery is at least once, and a receiver deduplicates by the row's id. Within a channel
one account's rows go out in their order: a row is due only when no earlier one of that account and channel is left.

A destination that is away costs a row nothing: it is due again at once, and this run leaves the channel alone. A row
that a destination refuses is tried again ever later, and parked after the last try: it then blocks its own account's
channel and nothing else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from users.database import query
from users.log import logger
from users.settings import SettingsError

BATCH = 50
LEASE = 60.0  # seconds; longer than a batch takes
MAX_ATTEMPTS = 12
_SETTLED_TOGETHER = 10
_FIRST_BACKOFF = 10.0
_LONGEST_BACKOFF = 3600.0


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row. ``refusal``: why the destination would not take it, empty when it did."""

    row: Row
    refusal: str = ""


class Channel(Protocol):
    """A destination."""

    def deliver(self, rows: list[Row]) -> Iterable[Outcome]:
        """Deliver rows in order, telling each outcome as it is known; DestinationUnavailable ends it."""


def deliver_due(channels: Mapping[str, Callable[[], Channel]], time_is_left: Callable[[], bool]) -> dict[str, int]:
    """Deliver until no row is due, every channel is down or time is over. How many were delivered, refused, parked.

    ``channels`` maps the rows' ``channel`` to a maker of its destination, which is called when there is a row for it.
    """
    counts = {"delivered": 0, "refused": 0, "parked": 0, "unavailable": 0}
    made: dict[str, Channel] = {}
    up = set(channels)
    while up and time_is_left():
        rows = _claim(up)
        if not rows:
            break
        for name in sorted({row.channel for row in rows}):
            batch = _without_hopeless([row for row in rows if row.channel == name], counts)
            try:
                if name not in made:
                    made[name] = channels[name]()
            except SettingsError as error:  # the others' rows go out all the same
                logger.error("channel is not configured", channel=name, cause=str(error))
                done, is_up = 0, False
            else:
                done, is_up = _deliver(made[name], batch, counts, time_is_left)
            if not is_up:
                up.discard(name)
                counts["unavailable"] += len(batch) - done
            if done < len(batch):
                _release(batch[done:])
    return counts


def _without_hopeless(rows: list[Row], counts: dict[str, int]) -> list[Row]:
    """The rows that may be tried; one whose every try ended the relay itself, so that it has no outcome, is parked."""
    for row in rows:
        if row.attempts > MAX_ATTEMPTS:
            _postpone(Outcome(row, "every try ended the relay before it had an outcome"), counts)
    return [row for row in rows if row.attempts <= MAX_ATTEMPTS]


def _deliver(
    channel: Channel, rows: list[Row], counts: dict[str, int], time_is_left: Callable[[], bool]
) -> tuple[int, bool]:
    """Deliver rows while time is left. How many have an outcome, all settled, and whether the destination is up.

    Settled in small groups: what a killed relay has sent and not settled is sent again.
    """
    done, unsettled = 0, list[Outcome]()
    try:
        for outcome in channel.deliver(rows):
            unsettled.append(outcome)
            done += 1
            if len(unsettled) == _SETTLED_TOGETHER:
                _settle(unsettled, counts)
                unsettled = []
                if not time_is_left():
                    break
    except DestinationUnavailable as error:
        logger.error("destination unavailable", channel=rows[0].channel, cause=str(error))
        return done, False
    finally:
        _settle(unsettled, counts)
    return done, True


def _claim(channels: set[str]) -> list[Row]:
    statement = """
        UPDATE users_outbox SET attempts = attempts + 1, next_attempt_at = now() + %(lease)s * interval '1 second'
        WHERE seq IN (
            SELECT seq FROM users_outbox due
            WHERE parked_at IS NULL AND next_attempt_at <= now() AND channel = ANY(%(channels)s)
                AND NOT EXISTS (
                    SELECT FROM users_outbox earlier
                    WHERE earlier.user_id = due.user_id AND earlier.channel = due.channel AND earlier.seq < due.seq)
            ORDER BY seq LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
        RETURNING seq, id::text, user_id, channel, name, payload, attempts"""
    rows = query(statement, {"channels": sorted(channels), "batch": BATCH, "lease": LEASE}, read_only=False)
    return sorted((Row(**row) for row in rows), key=lambda row: row.seq)


def _settle(outcomes: list[Outcome], counts: dict[str, int]) -> None:
    delivered = [outcome.row.seq for outcome in outcomes if not outcome.refusal]
    if delivered:
        query("DELETE FROM users_outbox WHERE seq = ANY(%(seqs)s)", {"seqs": delivered}, read_only=False)
        counts["delivered"] += len(delivered)
    for outcome in outcomes:
        if outcome.refusal:
            _postpone(outcome, counts)


def _postpone(outcome: Outcome, counts: dict[str, int]) -> None:
    row = outcome.row
    parked = row.attempts >= MAX_ATTEMPTS
    backoff = min(_FIRST_BACKOFF * 2 ** (row.attempts - 1), _LONGEST_BACKOFF)
    query(
        "UPDATE users_outbox SET next_attempt_at = now() + %(backoff)s * interval '1 second', last_error = %(error)s,"
        " parked_at = CASE WHEN %(parked)s THEN now() END WHERE seq = %(seq)s",
        {"seq": row.seq, "backoff": backoff, "error": outcome.refusal, "parked": parked},
        read_only=False,
    )
    counts["parked" if parked else "refused"] += 1
    log = logger.error if parked else logger.warning
    log(
        "parked" if parked else "refused",
        channel=row.channel,
        outbox_name=row.name,
        outbox_id=row.id,
        cause=outcome.refusal,
    )


def _release(rows: list[Row]) -> None:
    query(
        "UPDATE users_outbox SET attempts = attempts - 1, next_attempt_at = now() WHERE seq = ANY(%(seqs)s)",
        {"seqs": [row.seq for row in rows]},
        read_only=False,
    )
