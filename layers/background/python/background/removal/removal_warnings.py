"""Warning the owners of deleted and disabled accounts before the sweep removes them (decisions 18).

Once per deletion: seven days before the end, or at half of a shorter grace period. The end stays where it is: a run
that comes late warns late, and an account that no run saw in the time between is removed without a warning.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from background.removal.due import KINDS, kinds, unclaimed
from users.repository.database import query
from users.rules.outbox_records import removal_warning
from users.settings import settings

_LEAD = 7 * 24 * 3600.0  # seconds
_BATCH = 500
# Thousands of accounts may reach this point at the same moment, as after a takeover. Their mails become due one after
# the other, so that those that somebody waits for do not queue behind them; their age counts from there.
_SECONDS_BETWEEN_MAILS = 0.1


def warn(time_is_left: Callable[[], bool]) -> int:
    """Write the mails of all accounts whose time has come, in batches; how many."""
    warned = 0
    if settings().delete_after > 0:
        for kind in kinds():
            after = ("-infinity", "")
            while time_is_left() and (found := _next(kind, after)):
                warned += _write(kind, found, warned)
                after = (found[-1]["since_text"], found[-1]["id"])
    return warned


def _next(kind: str, after: tuple[str, str]) -> list[dict[str, Any]]:
    since = KINDS[kind][1]
    statement = f"""
        SELECT u.id, u.email, u.{since} AS since, u.{since}::text AS since_text FROM users u
        WHERE {unclaimed(kind)} AND u.removal_warned_at IS NULL
            AND u.{since} <= now() - %(unwarned)s * interval '1 second'
            AND u.{since} > now() - %(grace)s * interval '1 second'
            AND (u.{since}, u.id) > (%(since)s::timestamptz, %(id)s)
        ORDER BY u.{since}, u.id LIMIT {_BATCH}"""
    grace = settings().delete_after
    parameters = {"grace": grace, "unwarned": grace - min(_LEAD, grace / 2), "since": after[0], "id": after[1]}
    return query(statement, parameters, read_only=True)


def _write(kind: str, found: list[dict[str, Any]], mails_before: int) -> int:
    """Mark accounts as warned, and write their mails, unless they were enabled or warned meanwhile; how many."""
    grace = timedelta(seconds=settings().delete_after)
    mails = [{"user_id": row["id"], **asdict(removal_warning(row["email"], row["since"] + grace))} for row in found]
    condition = f"{unclaimed(kind)} AND u.removal_warned_at IS NULL"
    return write_mails(mails, marks="removal_warned_at", condition=condition, mails_before=mails_before)


def write_mails(mails: list[dict[str, Any]], *, marks: str, condition: str, mails_before: int) -> int:
    """Write mails, each with its ``user_id``, to accounts that meet the condition on ``users u``; how many.

    The column ``marks`` of these accounts says when. The run has written ``mails_before`` mails already.
    """
    statement = f"""
        WITH told AS (
            SELECT * FROM jsonb_to_recordset(%(records)s)
                AS r(id uuid, user_id text, channel text, name text, payload jsonb)
        ), changed AS (
            UPDATE users u SET {marks} = now() FROM told
            WHERE u.id = told.user_id AND {condition} RETURNING u.id
        ), due AS (
            SELECT told.*, now() + (%(before)s + row_number() OVER () - 1) * {_SECONDS_BETWEEN_MAILS}
                * interval '1 second' AS at
            FROM told JOIN changed ON changed.id = told.user_id
        )
        INSERT INTO users_outbox (id, user_id, channel, name, payload, created_at, next_attempt_at)
        SELECT id, user_id, channel, name, payload, at, at FROM due
        RETURNING seq"""
    return len(query(statement, {"records": Jsonb(mails), "before": mails_before}, read_only=False))
