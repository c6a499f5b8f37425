"""Delivering the outbox (decisions 28): claim, deliver, settle, until nothing is due.

A claim is a lease in the row, so that no transaction is open while a mail is sent, and a relay that is killed leaves
rows that become due again: delivery is at least once, and a receiver deduplicates by the row's id. A relay that
outlived its lease settles nothing that another one has claimed since. Within a channel one account's rows go out in
their order, each after the one before it was taken: a batch holds an account's oldest rows, the first of which must be
due, and what is handed to a channel at once holds one row of an account.

A destination that is away costs a row nothing: it is due again at once, and this run leaves the channel alone. A row
that a destination refuses is tried again ever later, and parked after the last try: it then blocks its own account's
channel and nothing else. Channels do not hold each other up: each has its turn, of a few seconds and rows at first, and
of more rows as long as they are taken.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime

from background.delivery.lookout import IS_DUE, Lookout
from background.delivery.ports import Channel, DestinationUnavailable, Outcome, Row
from users.errors import Unavailable
from users.repository.database import query
from users.settings import SettingsError
from users.telemetry.log import logger, place

LEASE = 60.0  # seconds; longer than a turn and its last group of rows take
_TURN = 5.0  # seconds, after which no group is begun
_FIRST_BATCH = 10  # rows: that a destination is away, or rows are large, is found out at little cost
_DOWN = -1  # instead of a batch: the channel is left alone for this run
_GROWTH = 4  # times the rows that the last turn saw the end of
_BATCH_BYTES = 8 * 1024 * 1024  # of payload, and one row more: a registration's may be a megabyte
MAX_ATTEMPTS = 12
# From here on a row goes alone: when it is what ends the relays, it must not take the rows beside it along.
_SUSPECT_ATTEMPTS = 6
_FIRST_BACKOFF = 10.0
_LONGEST_BACKOFF = 3600.0


@dataclass(frozen=True, slots=True)
class Claim:
    """Rows that are this relay's until ``lease``, by the database's clock."""

    rows: list[Row]
    lease: datetime | None


def deliver_due(
    channels: Mapping[str, Callable[[], Channel]],
    time_is_left: Callable[[], bool],
    may_linger: Callable[[], bool] = lambda: False,
) -> dict[str, int]:
    """Deliver until no row is due, every channel is down or time is over. How many were delivered, refused, parked.

    ``channels`` maps the rows' ``channel`` to a maker of its destination, which is called when there is a row for it.
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
    """The channel; None when it cannot be had, so that the others' rows go out all the same."""
    try:
        return make()
    except SettingsError as error:
        logger.error("channel is not configured", channel=name, cause=str(error))
    except Exception as error:  # noqa: BLE001 -- the edge of a channel
        _log_failure(name, error)
    return None


def _take_turn(
    name: str, channel: Channel, batch: int, counts: dict[str, int], time_is_left: Callable[[], bool]
) -> int:
    """Claim a batch, deliver it while there is time, give back the rest. The next turn's batch.

    0 when another relay has the rows: what follows them may be this one's yet. _DOWN for no next turn.
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
    """Deliver rows. The outcomes as far as they are known, and whether the destination is up.

    An error that the channel did not foresee is the first row's without an outcome, which is refused because of it: a
    row that no code can deliver is parked in the end, and holds up neither this channel nor the others for ever.
    """
    outcomes: list[Outcome] = []
    try:
        for outcome in channel.deliver(rows):
            outcomes.append(outcome)  # noqa: PERF402 -- what was told before an error counts
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
    # The text of a foreign exception may hold personal data: its type and place are told, not its text.
    logger.error("channel failed", channel=channel, exception_type=type(error).__name__, place=place(error))


def _hopeless(rows: list[Row]) -> list[Outcome]:
    """The end of rows whose last try ended the relay itself, so that they have no outcome."""
    reason = "the last try ended the relay before it had an outcome"
    return [Outcome(row, reason) for row in rows if row.attempts > MAX_ATTEMPTS]


def _suspect_alone(rows: list[Row]) -> list[Row]:
    """All rows; or one whose many tries had no outcome, as if it ended the relays, after those of its account."""
    for suspect in rows:
        if suspect.attempts > _SUSPECT_ATTEMPTS and suspect.last_error is None:
            earlier = [row for row in rows if row.user_id and row.user_id == suspect.user_id and row.seq < suspect.seq]
            return [*earlier, suspect]
    return rows


def _one_of_each_account(rows: list[Row], count: int) -> list[Row]:
    """The oldest row of each account, at most ``count``; rows of no account are each of another one."""
    firsts: dict[str | int, Row] = {}
    for row in rows:
        if len(firsts) == count:
            break
        firsts.setdefault(row.user_id or row.seq, row)
    return list(firsts.values())


def _after(outcomes: list[Outcome], rows: list[Row]) -> list[Row]:
    """The rows that are left to try: none that follows a refused one of its account."""
    known = {outcome.row.seq for outcome in outcomes}
    stopped = {outcome.row.user_id for outcome in outcomes if outcome.refusal and outcome.row.user_id}
    return [row for row in rows if row.seq not in known and row.user_id not in stopped]


# An account's first row decides whether its rows are due; whoever has locked it has the others, too. Accounts that have
# a row that is due are stepped through by the index users_outbox_accounts: a join that looks for earlier rows costs
# minutes when one account has 100 000. The walk begins anywhere, so that no account is always the last, and goes around
# once; it ends after so many steps, should so many accounts have a first row that is not due. The conditions at the end
# of `firsts` and of the statement are evaluated again on a row that another relay claimed meanwhile.
_STEPS = 20_000
_CLAIM = f"""
    WITH RECURSIVE account AS (
        SELECT %(start)s::varchar(36) AS id, false AS is_around
        UNION ALL
        SELECT next.* FROM account, LATERAL (
            (SELECT user_id, is_around FROM users_outbox
            WHERE channel = %(channel)s AND user_id > account.id AND {IS_DUE}
                AND (NOT is_around OR user_id < %(start)s)
            ORDER BY user_id LIMIT 1)
            UNION ALL
            (SELECT user_id, true FROM users_outbox
            WHERE channel = %(channel)s AND user_id < %(start)s AND NOT is_around AND {IS_DUE}
            ORDER BY user_id LIMIT 1)
            LIMIT 1
        ) next
    ), due AS (
        (SELECT first.seq FROM (SELECT id FROM account LIMIT %(steps)s) account, LATERAL (
            SELECT seq, parked_at, next_attempt_at FROM users_outbox
            WHERE channel = %(channel)s AND user_id = account.id ORDER BY seq LIMIT 1
        ) first WHERE {IS_DUE} LIMIT %(count)s)
        UNION ALL
        (SELECT seq FROM users_outbox
        WHERE channel = %(channel)s AND user_id IS NULL AND {IS_DUE}
        ORDER BY seq LIMIT %(count)s)
    ), firsts AS (
        SELECT seq, user_id FROM users_outbox
        WHERE seq = ANY(ARRAY(SELECT seq FROM due)) AND parked_at IS NULL AND next_attempt_at <= now()
        ORDER BY seq LIMIT %(count)s FOR UPDATE SKIP LOCKED
    ), each AS (
        SELECT (%(count)s + count(*) - 1) / greatest(count(*), 1) AS rows FROM firsts
    ), claimed AS (
        SELECT seq, 1 AS place FROM firsts WHERE user_id IS NULL
        UNION ALL
        SELECT following.seq, following.place FROM firsts, LATERAL (
            SELECT seq, row_number() OVER in_order AS place, bool_and(is_free) OVER in_order AS is_free
            FROM (
                SELECT seq, parked_at IS NULL AND next_attempt_at <= now() AS is_free FROM users_outbox
                WHERE user_id = firsts.user_id AND channel = %(channel)s AND seq >= firsts.seq
                ORDER BY seq LIMIT (SELECT rows FROM each)
            ) own WINDOW in_order AS (ORDER BY seq)
        ) following WHERE following.is_free
        ORDER BY place, seq LIMIT %(count)s
    ), measured AS (
        SELECT o.seq, sum(octet_length(o.payload::text)) OVER (
            ORDER BY claimed.place, o.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM users_outbox o JOIN claimed ON claimed.seq = o.seq
        WHERE o.seq = ANY(ARRAY(SELECT seq FROM claimed))
    )
    UPDATE users_outbox SET attempts = attempts + 1, next_attempt_at = now() + %(lease)s * interval '1 second'
    WHERE seq = ANY(ARRAY(SELECT seq FROM measured WHERE COALESCE(before, 0) < %(bytes)s))
        AND parked_at IS NULL AND next_attempt_at <= now()
    RETURNING seq, id::text, user_id, channel, name, payload, attempts, last_error, next_attempt_at AS lease"""


def _claim(channel: str, count: int) -> Claim:
    """Lease up to ``count`` rows, fewer when they are large: due ones, and those that follow them without a gap."""
    start = str(uuid.uuid4())  # as the accounts' ids are
    parameters = {
        "channel": channel,
        "start": start,
        "steps": _STEPS,
        "count": count,
        "bytes": _BATCH_BYTES,
        "lease": LEASE,
    }
    found = query(_CLAIM, parameters, read_only=False)
    lease = found[0]["lease"] if found else None
    rows = [Row(**{name: value for name, value in row.items() if name != "lease"}) for row in found]
    return Claim(sorted(rows, key=lambda row: row.seq), lease)


def _settle(claim: Claim, outcomes: list[Outcome], counts: dict[str, int]) -> set[int]:
    """Delete what was delivered, postpone or park what was refused; what another relay claimed since is its own.

    The ``seq`` of each.
    """
    delivered = [outcome.row.seq for outcome in outcomes if not outcome.refusal]
    if delivered:
        statement = "DELETE FROM users_outbox WHERE seq = ANY(%(seqs)s) AND next_attempt_at = %(lease)s"
        query(statement, {"seqs": delivered, "lease": claim.lease}, read_only=False)
        counts["delivered"] += len(delivered)
    for outcome in outcomes:
        if outcome.refusal:
            _postpone(claim, outcome, counts)
    return {outcome.row.seq for outcome in outcomes}


def _postpone(claim: Claim, outcome: Outcome, counts: dict[str, int]) -> None:
    row = outcome.row
    parked = row.attempts >= MAX_ATTEMPTS
    backoff = min(_FIRST_BACKOFF * 2 ** (row.attempts - 1), _LONGEST_BACKOFF)
    query(
        "UPDATE users_outbox SET next_attempt_at = now() + %(backoff)s * interval '1 second', last_error = %(error)s,"
        " parked_at = CASE WHEN %(parked)s THEN now() END WHERE seq = %(seq)s AND next_attempt_at = %(lease)s",
        {"seq": row.seq, "backoff": backoff, "error": outcome.refusal, "parked": parked, "lease": claim.lease},
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


def _release(claim: Claim, seqs: set[int]) -> None:
    """Give back rows that have no outcome, as if they had not been claimed."""
    query(
        "UPDATE users_outbox SET attempts = attempts - 1, next_attempt_at = now()"
        " WHERE seq = ANY(%(seqs)s) AND next_attempt_at = %(lease)s",
        {"seqs": sorted(seqs), "lease": claim.lease},
        read_only=False,
    )
