"""Counting attempts against limits, in the statement that they are made by (S8–S13, S46).

A limit is a row of ``users_throttle``: a key, the hits in its window, and the window's end. A hit is counted before the
attempt is answered and only while the limit is not reached, by INSERT … ON CONFLICT: PostgreSQL's row lock decides
between parallel attempts, so that no more than the limit ever pass, and attempts made while blocked extend nothing.
"""

# The limits of logins, in the order in which they are counted and locked by all statements: so they do not wait for
# each other in a circle. What they mean is said in `repository.logins`. A key is `login:<limit>:…`.
LOGIN_LIMITS = ("typed_pair", "typed_wide_pair", "typed", "address", "wide_address", "pair", "wide_pair", "identity")

# One more hit in the row ``t`` of ``users_throttle``, for ON CONFLICT (key) DO UPDATE SET. A window that is over begins
# anew; one that runs does not slide.
ANOTHER_HIT = """
            hits = CASE WHEN t.expires_at <= now() THEN excluded.hits ELSE t.hits + excluded.hits END,
            expires_at = CASE WHEN t.expires_at <= now() THEN excluded.expires_at ELSE t.expires_at END,
            hit_at = now()"""


def limits_reached(silent: str) -> str:
    """Return the CTEs that look at the limits of ``wanted(key, most)`` and change nothing.

    ``silent`` is a condition on a row of ``wanted``. The CTE ``throttle`` is one row. ``allowed``: no limit that is not
    silent is reached. ``silenced``: a silent one is. ``retry_after``: seconds.
    """
    return f"""
    reached AS MATERIALIZED (
        SELECT t.expires_at, {silent} AS silent FROM wanted JOIN users_throttle t USING (key)
        WHERE t.expires_at > now() AND t.hits >= wanted.most
    ), throttle AS (
        SELECT COALESCE(bool_and(silent), true) AS allowed, COALESCE(bool_or(silent), false) AS silenced,
            COALESCE(ceil(extract(epoch FROM max(expires_at) FILTER (WHERE NOT silent) - now()))::int, 1) AS retry_after
        FROM reached
    )"""


def _counted(place: int, hits: str) -> str:
    """The CTE that counts the limit at ``place``, where the one before it was counted."""
    condition = "NOT EXISTS (SELECT FROM reached)" if place == 1 else f"EXISTS (SELECT FROM counted_{place - 1})"
    return f"""
    counted_{place} AS (
        INSERT INTO users_throttle AS t (key, user_id, hits, expires_at, hit_at)
        SELECT key, user_id, {hits}, now() + seconds * interval '1 second', now() FROM ranked
        WHERE place = {place} AND {condition}
        ON CONFLICT (key) DO UPDATE SET
            user_id = COALESCE(excluded.user_id, t.user_id),{ANOTHER_HIT}
        WHERE t.expires_at <= now() OR t.hits < (SELECT most FROM wanted WHERE wanted.key = t.key)
        RETURNING key
    )"""


def count_hits(limits: int, *, order: str, silent: str = "false", hits: str = "1", counted: str = "true") -> str:
    """Return the CTEs that count a hit in each limit of ``wanted(key, user_id, most, seconds)``, at most ``limits``.

    Nothing is counted when one of the limits is reached. They are counted one after the other in ``order``, so that an
    attempt which a tight limit refuses at this very moment uses up no wider one.

    ``silent`` is a condition on a row of ``wanted``. Limits that meet it come last in the order; when one of them is
    reached, the ones before are counted all the same.

    ``hits`` is how many are counted. With 0 nothing is used up, but the attempt takes its turn among those that are
    counted at this moment. ``counted`` is a condition on a row of ``wanted``. Limits that do not meet it are only
    asked.

    The CTE ``throttle`` is one row. ``allowed``: every limit that is not silent was counted. ``silenced``: a silent
    one was not. ``retry_after``: seconds, 1 where a limit was reached at this very moment.

    A statement that reads ``wanted`` only once has to make it MATERIALIZED: see ``repository.logins``.
    """
    places = range(1, limits + 1)
    return f"""
    reached AS (
        SELECT t.key, t.expires_at FROM wanted JOIN users_throttle t USING (key)
        WHERE t.expires_at > now() AND t.hits >= wanted.most AND NOT {silent}
    ), ranked AS (
        SELECT *, row_number() OVER (ORDER BY {order}) AS place FROM wanted WHERE {counted}
    ), {", ".join(_counted(place, hits) for place in places)}, counted AS (
        {" UNION ALL ".join(f"SELECT key FROM counted_{place}" for place in places)}
    ), throttle AS (
        SELECT NOT EXISTS (SELECT FROM reached) AND NOT EXISTS (
                SELECT FROM ranked wanted WHERE NOT {silent} AND key NOT IN (SELECT key FROM counted)) AS allowed,
            EXISTS (SELECT FROM ranked wanted WHERE {silent} AND key NOT IN (SELECT key FROM counted)) AS silenced,
            COALESCE((SELECT ceil(extract(epoch FROM max(expires_at) - now()))::int FROM reached), 1) AS retry_after
    )"""


# For up to three limits, tightest first.
COUNT_HITS = count_hits(3, order="most, key")
