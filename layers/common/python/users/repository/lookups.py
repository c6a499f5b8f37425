"""Enabled accounts by their ids, for other services (contract §5.7): one statement, and at most a page in memory."""

from collections.abc import Sequence

from users.models import Page, User
from users.repository.database import query
from users.repository.statements import Statement

# Upstream's columns: no private metadata, picture, verification or provider.
_COLUMNS = """
    u.id, u.first_name, u.last_name, u.tags, u.metadata, u.status, u.role, u.username, u.email,
    u.created_at AT TIME ZONE 'UTC' AS created_at, u.updated_at AT TIME ZONE 'UTC' AS updated_at, u.updated_by"""

_FIELDS = (
    *("id", "first_name", "last_name", "tags", "metadata", "status", "role", "username", "email"),
    *("created_at", "updated_at", "updated_by"),
)

# Bytes of all columns but the two that have no bound, and of the message around them.
_PLAIN_BYTES = 500
_FIND_ENABLED = Statement(
    "find_enabled",
    f"""
WITH matching AS MATERIALIZED (
    SELECT u.id, COALESCE(u.updated_at, u.created_at) AS changed_at
    FROM users u WHERE u.id = ANY(%(ids)s) AND u.status = 0
), page AS MATERIALIZED (
    SELECT {_COLUMNS}, chosen.changed_at, {_PLAIN_BYTES} + COALESCE(octet_length(u.metadata::text), 0)
        + COALESCE(octet_length(u.tags::text), 0) AS bytes
    FROM (SELECT * FROM matching ORDER BY changed_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s) chosen
    JOIN users u USING (id)
), counted AS (
    SELECT (SELECT count(*) FROM matching) AS total, (SELECT COALESCE(sum(bytes), 0) FROM page) AS page_bytes
)
SELECT total, page_bytes, {", ".join(f"page.{name}" for name in _FIELDS)}
FROM counted LEFT JOIN page ON page_bytes <= %(most_bytes)s
ORDER BY changed_at DESC, page.id DESC""",
)

_LARGEST = 2**63 - 1  # PostgreSQL's bigint


class PageTooLarge(Exception):
    """The accounts of the page are larger than ``most_bytes``."""


def find_enabled(ids: Sequence[str], *, offset: int, limit: int, most_bytes: int) -> Page:
    """Return the enabled accounts among ``ids``, newest change first. ``total`` counts them all.

    Raises PageTooLarge if a page of ``limit`` accounts from ``offset`` on would be larger than about ``most_bytes``.
    """
    parameters = {
        "ids": list(ids),
        "limit": min(limit, _LARGEST),
        "offset": min(offset, _LARGEST),
        "most_bytes": most_bytes,
    }
    rows = query(_FIND_ENABLED, parameters, read_only=True)
    if rows[0]["page_bytes"] > most_bytes:
        raise PageTooLarge
    users = [User.from_row(row, _FIELDS) for row in rows if row["id"] is not None]
    return Page(users=users, offset=offset, limit=limit, total=rows[0]["total"])
