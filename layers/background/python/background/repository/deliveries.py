"""Claims, settlements and the next promised look at the outbox (decisions 28)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import DictRow

from users.repository.database import query
from users.repository.statements import Statement

# The condition of a due row. The table's statistics are always stale, and a wrong estimate makes the planner scan the
# whole index. CASE hides the condition from the estimator.
_IS_DUE = "CASE WHEN parked_at IS NULL THEN next_attempt_at <= now() END"

# An account's first row decides whether its rows are due. The run that locks it has the other rows, too. The
# statement steps through the accounts that have a due row by the index users_outbox_accounts: a join that looks for
# earlier rows takes minutes if one account has 100 000. The walk begins anywhere, so that no account is always the
# last, and goes around once. It ends after `steps`, in case many accounts have a first row that is not due.
# PostgreSQL evaluates the conditions at the end of `firsts` and of the statement again on a row that another relay has
# claimed meanwhile.
_CLAIM = Statement(
    "claim_deliveries",
    f"""
    WITH RECURSIVE account AS (
        SELECT %(start)s::varchar(36) AS id, false AS is_around
        UNION ALL
        SELECT next.* FROM account, LATERAL (
            (SELECT user_id, is_around FROM users_outbox
            WHERE channel = %(channel)s AND user_id > account.id AND {_IS_DUE}
                AND (NOT is_around OR user_id < %(start)s)
            ORDER BY user_id LIMIT 1)
            UNION ALL
            (SELECT user_id, true FROM users_outbox
            WHERE channel = %(channel)s AND user_id < %(start)s AND NOT is_around AND {_IS_DUE}
            ORDER BY user_id LIMIT 1)
            LIMIT 1
        ) next
    ), due AS (
        (SELECT first.seq FROM (SELECT id FROM account LIMIT %(steps)s) account, LATERAL (
            SELECT seq, parked_at, next_attempt_at FROM users_outbox
            WHERE channel = %(channel)s AND user_id = account.id ORDER BY seq LIMIT 1
        ) first WHERE {_IS_DUE} LIMIT %(count)s)
        UNION ALL
        (SELECT seq FROM users_outbox
        WHERE channel = %(channel)s AND user_id IS NULL AND {_IS_DUE}
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
    RETURNING seq, id::text, user_id, channel, name, payload, attempts, last_error, next_attempt_at AS lease""",
)

_DELETE = Statement(
    "delete_delivered", "DELETE FROM users_outbox WHERE seq = ANY(%(seqs)s) AND next_attempt_at = %(lease)s"
)

_POSTPONE = Statement(
    "postpone_delivery",
    """
    UPDATE users_outbox SET next_attempt_at = now() + %(backoff)s * interval '1 second', last_error = %(error)s,
        parked_at = CASE WHEN %(parked)s THEN now() END
    WHERE seq = %(seq)s AND next_attempt_at = %(lease)s""",
)

_GIVE_BACK = Statement(
    "give_back_deliveries",
    """
    UPDATE users_outbox SET attempts = attempts - 1, next_attempt_at = now()
    WHERE seq = ANY(%(seqs)s) AND next_attempt_at = %(lease)s""",
)

_LOOK = Statement(
    "look_for_deliveries",
    f"""
    SELECT ARRAY(
        SELECT wanted.channel FROM unnest(%(channels)s::text[]) AS wanted (channel)
        WHERE (
            SELECT true FROM users_outbox o WHERE o.channel = wanted.channel AND {_IS_DUE} ORDER BY user_id LIMIT 1)
    ) AS due, now() AS at, (
        SELECT run_id IS NULL AND looks_until > now() FROM users_relay
    ) AS is_woken""",
)

_PROMISE = Statement(
    "promise_look",
    """
    UPDATE users_relay SET run_id = %(run)s, looks_until = clock_timestamp() + %(seconds)s * interval '1 second'
    WHERE run_id IS NULL OR run_id = %(run)s OR looks_until <= clock_timestamp()
    RETURNING looks_until""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The channels with a due row, the database's time, and ``is_woken``: a woken run has not begun."""

    due: list[str]
    at: datetime
    is_woken: bool | None


def claim(channel: str, *, start: str, steps: int, count: int, most_bytes: int, lease: float) -> list[DictRow]:
    """Lease up to ``count`` rows for ``lease`` seconds, fewer rows if they take more than ``most_bytes``.

    They are due rows, and the rows that follow them without a gap. ``start`` is the id of an account: the walk through
    the accounts begins there, and takes at most ``steps`` steps. Each row has the end of its ``lease``.
    """
    parameters = {
        "channel": channel,
        "start": start,
        "steps": steps,
        "count": count,
        "bytes": most_bytes,
        "lease": lease,
    }
    return query(_CLAIM, parameters, read_only=False)


def delete(seqs: Sequence[int], lease: datetime | None) -> None:
    """Delete delivered rows, except those that another relay has claimed since."""
    query(_DELETE, {"seqs": list(seqs), "lease": lease}, read_only=False)


def postpone(seq: int, lease: datetime | None, *, backoff: float, error: str, parked: bool) -> None:
    """Try a refused row again after ``backoff`` seconds, or park it, unless another relay has claimed it since."""
    parameters = {"seq": seq, "backoff": backoff, "error": error, "parked": parked, "lease": lease}
    query(_POSTPONE, parameters, read_only=False)


def give_back(seqs: Sequence[int], lease: datetime | None) -> None:
    """Give back rows that have no outcome, as if they had not been claimed."""
    query(_GIVE_BACK, {"seqs": list(seqs), "lease": lease}, read_only=False)


def look(channels: Iterable[str]) -> Look:
    """Find the channels that have a due row."""
    return Look(**query(_LOOK, {"channels": sorted(channels)}, read_only=True)[0])


def promise(run: UUID, seconds: float) -> datetime | None:
    """Promise that ``run`` looks again after ``seconds``. Return the time, None if another run has promised."""
    rows = query(_PROMISE, {"run": run, "seconds": seconds}, read_only=False)
    return rows[0]["looks_until"] if rows else None
