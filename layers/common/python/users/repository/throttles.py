"""Counting attempts against limits, in the statement that they are made by (security.md S8–S13).

A limit is a row of ``users_throttle``: a key, the hits in its window, and the window's end. A hit is counted before the
attempt is judged and only while the limit is not reached, by INSERT … ON CONFLICT: PostgreSQL's row lock decides
between parallel attempts, so that no more than the limit ever pass, and attempts made while blocked extend nothing.
"""

from users.database import query


def _counted(place: int) -> str:
    """The CTE that counts the limit at ``place``, tightest first, where the one before it was counted."""
    condition = "NOT EXISTS (SELECT FROM reached)" if place == 1 else f"EXISTS (SELECT FROM counted_{place - 1})"
    return f"""
    counted_{place} AS (
        INSERT INTO users_throttle AS t (key, user_id, hits, expires_at, hit_at)
        SELECT key, user_id, 1, now() + seconds * interval '1 second', now() FROM ranked
        WHERE place = {place} AND {condition}
        ON CONFLICT (key) DO UPDATE SET
            hits = CASE WHEN t.expires_at <= now() THEN 1 ELSE t.hits + 1 END,
            expires_at = CASE WHEN t.expires_at <= now() THEN excluded.expires_at ELSE t.expires_at END,
            hit_at = now()
        WHERE t.expires_at <= now() OR t.hits < (SELECT most FROM wanted WHERE wanted.key = t.key)
        RETURNING key
    )"""


# CTEs for a statement that has a CTE `wanted(key, user_id, most, seconds)` of up to three limits: the hits are counted,
# unless one of the limits is reached. One after the other, so that an attempt which a tight limit refuses at this very
# moment uses up no wider one. `throttle` is one row: `allowed`; `retry_after` in seconds; `recent`: the limit was
# reached a moment ago, perhaps by attempts that are about to succeed.
COUNT_HITS = f"""
    reached AS (
        SELECT t.key, t.expires_at, t.hit_at FROM wanted JOIN users_throttle t USING (key)
        WHERE t.expires_at > now() AND t.hits >= wanted.most
    ), ranked AS (
        SELECT *, row_number() OVER (ORDER BY most, key) AS place FROM wanted
    ), {_counted(1)}, {_counted(2)}, {_counted(3)}, throttle AS (
        SELECT (SELECT count(*) FROM counted_1) + (SELECT count(*) FROM counted_2) + (SELECT count(*) FROM counted_3)
                = (SELECT count(*) FROM wanted) AS allowed,
            COALESCE((SELECT ceil(extract(epoch FROM max(expires_at) - now()))::int FROM reached), 1) AS retry_after,
            COALESCE((SELECT max(hit_at) > now() - interval '1 second' FROM reached), true) AS recent
    )"""


def count_registration(address: str, most: int) -> int | None:
    """Count a registration from an address against ``most`` in an hour: None, or the seconds until there is room."""
    statement = f"""
        WITH wanted AS (
            SELECT 'register:' || encode(sha256(convert_to(%(address)s, 'UTF8')), 'hex') AS key,
                NULL::varchar AS user_id, %(most)s AS most, 3600 AS seconds
        ), {COUNT_HITS}
        SELECT allowed, retry_after FROM throttle"""
    row = query(statement, {"address": address, "most": most}, read_only=False)[0]
    return None if row["allowed"] else int(row["retry_after"])
