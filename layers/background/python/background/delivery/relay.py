"""Delivery of the outbox (docs/architecture.md): claim, deliver, settle, until no row is due.

A claim is a lease in the row, so no transaction is open while a mail is sent. The rows of a killed relay become due
again. So the relay delivers each row at least once, and a receiver deduplicates by the row's id. A relay that outlived
its lease settles no row that another relay has claimed since. Within a channel the rows of one account go out in their
order, each after the channel has accepted the row before. A batch holds the oldest rows of an account, and the first
must be due. A channel gets one row of an account at once.

If a destination is away, its rows are due again at once, and this run leaves the channel alone. If a destination
refuses a row, the relay tries the row again at growing intervals, and parks it after the last try. A parked row blocks
the channel of its own account and nothing else. Channels do not block each other: each has its turn, of a few seconds
and rows at first, and of more rows as long as the channel accepts them.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime

from background.delivery.lookout import Lookout
from background.delivery.ports import Channel, DestinationUnavailable, Outcome, Row
from background.repository import deliveries
from users.errors import Unavailable
from users.settings import WrongSettings
from users.telemetry.log import logger, place

LEASE = 60.0  # seconds; longer than a turn and its last group of rows take
_TURN = 5.0  # seconds, after which no group is begun
_FIRST_BATCH = 10  # rows: few, in case the destination is away or the rows are large
_DOWN = -1  # instead of a batch: this run leaves the channel alone
_GROWTH = 4  # times the rows that the last turn settled
_BATCH_BYTES = 8 * 1024 * 1024  # of payload, plus one row: the row of a registration may have a megabyte
MAX_ATTEMPTS = 12
# After so many tries a row goes alone: if this row ends the relays, other rows must not suffer.
_SUSPECT_ATTEMPTS = 6
_FIRST_BACKOFF = 10.0
_LONGEST_BACKOFF = 3600.0


@dataclass(frozen=True, slots=True)
class Claim:
    """Rows that belong to this relay until ``lease``, by the database's clock."""

    rows: list[Row]
    lease: datetime | None


def deliver_due(
    channels: Mapping[str, Callable[[], Channel]],
    time_is_left: Callable[[], bool],
    may_linger: Callable[[], bool] = lambda: False,
) -> dict[str, int]:
    """Deliver until no row is due, every channel is down or time is over. Count the delivered, refused, parked rows.

    ``channels`` maps the rows' ``channel`` to a function that makes its destination when there is a row for it.
    While ``may_linger`` is true, a run that was woken waits for the rows of further changes (``lookout``).
    """
    counts = {"delivered": 0, "refused": 0, "parked": 0, "unavailable": 0}
    made: dict[str, Channel] = {}
    batches = dict.fromkeys(channels, _FIRST_BATCH)
    lookout = Lookout(may_linger)
    with ExitStack() as at_end:
        while time_is_left():
            due = lookout.look(batches)
            turns = dict.fromkeys(due, _DOWN)
            for name in due:
                if name not in made and (channel := _made(name, channels[name])):
                    made[name] = at_end.enter_context(closing(channel))
                if name in made:
                    turns[name] = _take_turn(name, made[name], batches[name], counts, time_is_left)
            batches = {name: turns.get(name) or batch for name, batch in batches.items() if turns.get(name) != _DOWN}
            if not any(turn > 0 for turn in turns.values()) and not lookout.wait():
                break
    return counts


def _made(name: str, make: Callable[[], Channel]) -> Channel | None:
    """Return the channel, None if it cannot be made, so that rows of other channels are still delivered."""
    try:
        return make()
    except WrongSettings as error:
        logger.error("channel is not configured", channel=name, cause=str(error))
    except Exception as error:  # noqa: BLE001 -- the edge of a channel
        _log_failure(name, error)
    return None


def _take_turn(
    name: str, channel: Channel, batch: int, counts: dict[str, int], time_is_left: Callable[[], bool]
) -> int:
    """Claim a batch, deliver it while there is time, give back the rest. Return the size of the next turn's batch.

    Return 0 if another relay has the rows: this relay may still get the rows behind them. Return _DOWN for no next
    turn.
    """
    ends = time.monotonic() + _TURN
    claim = _claim(name, min(batch, channel.batch))
    if not claim.rows:
        return 0
    unsettled = _hopeless(claim.rows)
    queue = _suspect_alone(_after(unsettled, claim.rows))
    left = {row.seq for row in claim.rows}
    is_up = True
    while queue and is_up and time_is_left() and time.monotonic() < ends:
        group = _one_of_each_account(queue, channel.group)
        outcomes, is_up = _hand_over(channel, group)
        queue = _after(outcomes, queue)
        unsettled += outcomes
        if len(unsettled) >= channel.group:
            left -= _settle(claim, unsettled, counts)
            unsettled = []
    left -= _settle(claim, unsettled, counts)
    if left:
        _release(claim, left)
    if not is_up:
        counts["unavailable"] += len(left)
        return _DOWN
    return max(_FIRST_BATCH, _GROWTH * (len(claim.rows) - len(left)))


def _hand_over(channel: Channel, rows: list[Row]) -> tuple[list[Outcome], bool]:
    """Deliver rows. Return the known outcomes, and whether the destination is up.

    An unforeseen error counts as the refusal of the first row without an outcome. So a row that no code can deliver is
    parked in the end, and blocks neither this channel nor the others for ever.
    """
    outcomes: list[Outcome] = []
    try:
        for outcome in channel.deliver(rows):
            outcomes.append(outcome)  # noqa: PERF402 -- outcomes before an error count
    except (DestinationUnavailable, Unavailable) as error:
        cause = error.dependency if isinstance(error, Unavailable) else str(error)
        logger.error("destination unavailable", channel=rows[0].channel, cause=cause)
        return outcomes, False
    except Exception as error:  # noqa: BLE001 -- the edge of a channel
        _log_failure(rows[0].channel, error)
        known = {outcome.row.seq for outcome in outcomes}
        culprits = [row for row in rows if row.seq not in known][:1]
        return outcomes + [Outcome(row, type(error).__name__) for row in culprits], False
    return outcomes, True


def _log_failure(channel: str, error: Exception) -> None:
    # The text of a foreign exception may contain personal data, so only its type and place are logged.
    logger.error("channel failed", channel=channel, exception_type=type(error).__name__, place=place(error))


def _hopeless(rows: list[Row]) -> list[Outcome]:
    """Return the refusals of rows whose last try ended the relay itself, so that they have no outcome."""
    reason = "the last try ended the relay before it had an outcome"
    return [Outcome(row, reason) for row in rows if row.attempts > MAX_ATTEMPTS]


def _suspect_alone(rows: list[Row]) -> list[Row]:
    """Return all rows, or a row that had many tries without an outcome, behind the earlier ones of its account."""
    for suspect in rows:
        if suspect.attempts > _SUSPECT_ATTEMPTS and suspect.last_error is None:
            earlier = [row for row in rows if row.user_id and row.user_id == suspect.user_id and row.seq < suspect.seq]
            return [*earlier, suspect]
    return rows


def _one_of_each_account(rows: list[Row], count: int) -> list[Row]:
    """Return the oldest row of each account, at most ``count``. A row without an account counts as its own account."""
    firsts: dict[str | int, Row] = {}
    for row in rows:
        if len(firsts) == count:
            break
        firsts.setdefault(row.user_id or row.seq, row)
    return list(firsts.values())


def _after(outcomes: list[Outcome], rows: list[Row]) -> list[Row]:
    """Return the rows that are left to try, without those that follow a refused row of their account."""
    known = {outcome.row.seq for outcome in outcomes}
    stopped = {outcome.row.user_id for outcome in outcomes if outcome.refusal and outcome.row.user_id}
    return [row for row in rows if row.seq not in known and row.user_id not in stopped]


_STEPS = 20_000  # of a walk through the accounts that have a due row


def _claim(channel: str, count: int) -> Claim:
    """Lease up to ``count`` rows, fewer if they are large: due rows, and the rows that follow them without a gap."""
    start = str(uuid.uuid4())  # as the accounts' ids are
    found = deliveries.claim(channel, start=start, steps=_STEPS, count=count, most_bytes=_BATCH_BYTES, lease=LEASE)
    lease = found[0]["lease"] if found else None
    rows = [Row(**{name: value for name, value in row.items() if name != "lease"}) for row in found]
    return Claim(sorted(rows, key=lambda row: row.seq), lease)


def _settle(claim: Claim, outcomes: list[Outcome], counts: dict[str, int]) -> set[int]:
    """Delete delivered rows, postpone or park refused ones, unless another relay has claimed them since.

    Return the ``seq`` of each.
    """
    delivered = [outcome.row.seq for outcome in outcomes if not outcome.refusal]
    if delivered:
        deliveries.delete(delivered, claim.lease)
        counts["delivered"] += len(delivered)
    for outcome in outcomes:
        if outcome.refusal:
            _postpone(claim, outcome, counts)
    return {outcome.row.seq for outcome in outcomes}


def _postpone(claim: Claim, outcome: Outcome, counts: dict[str, int]) -> None:
    row = outcome.row
    parked = row.attempts >= MAX_ATTEMPTS
    backoff = min(_FIRST_BACKOFF * 2 ** (row.attempts - 1), _LONGEST_BACKOFF)
    deliveries.postpone(row.seq, claim.lease, backoff=backoff, error=outcome.refusal, parked=parked)
    counts["parked" if parked else "refused"] += 1
    log = logger.error if parked else logger.warning
    log(
        "parked" if parked else "refused",
        channel=row.channel,
        outbox_name=row.name,
        outbox_id=row.id,
        cause=outcome.refusal,
    )


def _release(claim: Claim, seqs: set[int]) -> None:
    """Give back rows that have no outcome, as if they had not been claimed."""
    deliveries.give_back(sorted(seqs), claim.lease)
