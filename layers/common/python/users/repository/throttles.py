"""Counting attempts against limits, in the statement of the attempt itself (S8 to S13, S46).

A limit is a row of ``users_throttle``: a key, the hits in its window, and the end of the window. The statement counts a
hit before the attempt is answered, and only while the limit is not reached. It does so by INSERT … ON CONFLICT, so
PostgreSQL's row lock decides between parallel attempts: no more than the limit ever pass. Attempts made while a limit
is reached do not extend its window.
"""

from users.repository.statements import Columns, Part

# The limits of logins, in the order in which all statements count and lock them. One order for all prevents deadlocks.
# `repository.login_limits` describes the limits. A key is `login:<limit>:…`.
LOGIN_LIMITS = ("typed_pair", "typed_wide_pair", "typed", "address", "wide_address", "pair", "wide_pair", "identity")

# One more hit in the row ``t`` of ``users_throttle``, for ON CONFLICT (key) DO UPDATE SET. A window that is over starts
# again. A window that runs keeps its end.
_ANOTHER_HIT = """
            hits = CASE WHEN t.expires_at <= now() THEN excluded.hits ELSE t.hits + excluded.hits END,
            expires_at = CASE WHEN t.expires_at <= now() THEN excluded.expires_at ELSE t.expires_at END,
            hit_at = now()"""


def limits_reached(silent: str, *, columns: Columns = ()) -> tuple[Part, ...]:
    """Return the parts that look at the limits of ``wanted(key, most)`` and change nothing.

    ``silent`` is a condition on a row of ``wanted``, ``columns`` are the columns that it reads. The last part is
    ``throttle``, which returns one row. ``allowed``: no limit that is not silent is reached. ``silenced``: a silent
    limit is reached. ``retry_after``: seconds.
    """
    reached = Part(
        "reached",
        f"""
        SELECT t.expires_at, {silent} AS silent FROM wanted JOIN users_throttle t USING (key)
        WHERE t.expires_at > now() AND t.hits >= wanted.most""",
        needs={"wanted": ("key", "most", *columns)},
        gives=("expires_at", "silent"),
        materialized=True,
    )
    throttle = Part(
        "throttle",
        """
        SELECT COALESCE(bool_and(silent), true) AS allowed, COALESCE(bool_or(silent), false) AS silenced,
            COALESCE(ceil(extract(epoch FROM max(expires_at) FILTER (WHERE NOT silent) - now()))::int, 1) AS retry_after
        FROM reached""",
        needs={"reached": ("expires_at", "silent")},
        gives=("allowed", "silenced", "retry_after"),
    )
    return reached, throttle


def _counted(place: int, hits: str) -> Part:
    """Return the part that counts the limit at ``place``, if the limit before it was counted."""
    is_first = place == 1
    condition = "NOT EXISTS (SELECT FROM reached)" if is_first else f"EXISTS (SELECT FROM counted_{place - 1})"
    before: dict[str, Columns] = {"reached": ()} if is_first else {f"counted_{place - 1}": ()}
    return Part(
        f"counted_{place}",
        f"""
        INSERT INTO users_throttle AS t (key, user_id, hits, expires_at, hit_at)
        SELECT key, user_id, {hits}, now() + seconds * interval '1 second', now() FROM ranked
        WHERE place = {place} AND {condition}
        ON CONFLICT (key) DO UPDATE SET
            user_id = COALESCE(excluded.user_id, t.user_id),{_ANOTHER_HIT}
        WHERE t.expires_at <= now() OR t.hits < (SELECT most FROM wanted WHERE wanted.key = t.key)
        RETURNING key""",
        needs={"wanted": ("key", "most"), "ranked": ("key", "user_id", "seconds", "place"), **before},
        gives=("key",),
    )


def count_hits(
    limits: int,
    *,
    order: str,
    silent: str = "false",
    hits: str = "1",
    counted: str = "true",
    columns: Columns = (),
) -> tuple[Part, ...]:
    """Return the parts that count a hit in each limit of ``wanted(key, user_id, most, seconds)``, at most ``limits``.

    Nothing is counted when a limit is reached. The limits are counted one after the other in ``order``. So an attempt
    that a narrow limit refuses at this moment does not count against the wider limits.

    ``silent`` is a condition on a row of ``wanted``. Limits that meet it come last in the order. When such a limit is
    reached, the limits before it are counted nevertheless.

    ``hits`` is the number of hits to count. With 0 the attempt uses up nothing, but waits for the attempts that are
    counted at this moment. ``counted`` is a condition on a row of ``wanted``. The statement only reads the limits that
    do not meet it. ``columns`` are the further columns of ``wanted`` that these expressions read.

    The last part is ``throttle``, which returns one row. ``allowed``: every limit that is not silent was counted.
    ``silenced``: a silent limit was not. ``retry_after``: seconds, 1 if a limit was reached at this moment.

    A statement that reads ``wanted`` only once has to make it MATERIALIZED: see ``repository.login_limits``.
    """
    places = range(1, limits + 1)
    reached = Part(
        "reached",
        f"""
        SELECT t.key, t.expires_at FROM wanted JOIN users_throttle t USING (key)
        WHERE t.expires_at > now() AND t.hits >= wanted.most AND NOT {silent}""",
        needs={"wanted": ("key", "user_id", "most", "seconds", *columns)},
        gives=("key", "expires_at"),
    )
    ranked = Part(
        "ranked",
        f"""
        SELECT *, row_number() OVER (ORDER BY {order}) AS place FROM wanted WHERE {counted}""",
        needs={"wanted": ("key", "user_id", "most", "seconds", *columns)},
        gives=("key", "user_id", "most", "seconds", "place", *columns),
    )
    all_counted = Part(
        "counted",
        f"""
        {" UNION ALL ".join(f"SELECT key FROM counted_{place}" for place in places)}""",
        needs={f"counted_{place}": ("key",) for place in places},
        gives=("key",),
    )
    throttle = Part(
        "throttle",
        f"""
        SELECT NOT EXISTS (SELECT FROM reached) AND NOT EXISTS (
                SELECT FROM ranked wanted WHERE NOT {silent} AND key NOT IN (SELECT key FROM counted)) AS allowed,
            EXISTS (SELECT FROM ranked wanted WHERE {silent} AND key NOT IN (SELECT key FROM counted)) AS silenced,
            COALESCE((SELECT ceil(extract(epoch FROM max(expires_at) - now()))::int FROM reached), 1) AS retry_after""",
        needs={"reached": ("expires_at",), "ranked": ("key", *columns), "counted": ("key",)},
        gives=("allowed", "silenced", "retry_after"),
    )
    return reached, ranked, *(_counted(place, hits) for place in places), all_counted, throttle


# For up to three limits, the narrowest first.
COUNT_HITS = count_hits(3, order="most, key")

# Failed logins of the account are forgotten, in the order of counting.
FORGET_FAILED_LOGINS = Part(
    "forgotten",
    f"""
        DELETE FROM users_throttle WHERE key IN (
            SELECT key FROM users_throttle WHERE user_id = (SELECT id FROM changed) AND key LIKE 'login:%%'
            ORDER BY array_position(ARRAY{list(LOGIN_LIMITS)}, split_part(key, ':', 2)), key FOR UPDATE)""",
    needs={"changed": ("id",)},
)

# A right password deletes the limits in ``wanted``, in the order of counting.
FORGET_WANTED = (
    Part(
        "locked",
        """
        SELECT t.key FROM users_throttle t JOIN wanted USING (key)
        WHERE EXISTS (SELECT FROM changed) ORDER BY wanted.position FOR UPDATE OF t""",
        needs={"wanted": ("key", "position"), "changed": ()},
        gives=("key",),
        materialized=True,
    ),
    Part(
        "forgotten",
        """
        DELETE FROM users_throttle t USING locked WHERE t.key = locked.key""",
        needs={"locked": ("key",)},
    ),
)

# Counts a change of the address of the account ``told`` by its owner ``by``. Returns no row after ``most_changes``.
COUNT_EMAIL_CHANGE = Part(
    "spent",
    f"""
        INSERT INTO users_throttle AS t (key, user_id, hits, expires_at, hit_at)
        SELECT 'email:' || id, id, 1, now() + interval '1 day', now() FROM told WHERE id = %(by)s
        ON CONFLICT (key) DO UPDATE SET {_ANOTHER_HIT}
        WHERE t.expires_at <= now() OR t.hits < %(most_changes)s
        RETURNING key""",
    needs={"told": ("id",)},
    gives=("key",),
)

# The limits of removed accounts. A limit contains the account's id, or a digest of the typed name if it was counted
# before the account existed. A limit with a digest ends within an hour. Limits of a mailbox stay for a day at most,
# without the account's id. Otherwise somebody who registers and deletes in turns could send any number of mails to the
# mailbox. Without the key nobody can find the names of the digests.
REMOVE_LIMITS = (
    Part(
        "throttles",
        """
    DELETE FROM users_throttle t USING changed WHERE t.user_id = changed.id AND t.key NOT LIKE 'mail:%%'""",
        needs={"changed": ("id",)},
    ),
    Part(
        "mailboxes",
        """
    UPDATE users_throttle t SET user_id = NULL FROM changed WHERE t.user_id = changed.id AND t.key LIKE 'mail:%%'""",
        needs={"changed": ("id",)},
    ),
    Part(
        "digests",
        """
    SELECT encode(sha256(convert_to(lower(name), 'UTF8')), 'hex') AS digest
    FROM changed, LATERAL (VALUES (email), (username)) names(name) WHERE name IS NOT NULL""",
        needs={"changed": ("email", "username")},
        gives=("digest",),
    ),
    Part(
        "throttles_by_name",
        """
    DELETE FROM users_throttle WHERE split_part(key, ':', 3) IN (SELECT digest FROM digests)""",
        needs={"digests": ("digest",)},
    ),
)
