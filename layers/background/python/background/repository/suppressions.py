"""Addresses that get no mails: rows of ``users_mail_suppressions``."""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import DictRow

from users.repository.database import query
from users.repository.statements import Statement

# Rows are written in the order of the addresses, so that two statements at once do not block each other.
_SUPPRESS = Statement(
    "suppress",
    """
    INSERT INTO users_mail_suppressions AS s (address, reason, feedback_id, user_id, expires_at)
    SELECT DISTINCT ON (address) address, %(reason)s, %(feedback_id)s, u.id, now() + %(lifetime)s * interval '1 day'
    FROM unnest(%(addresses)s::text[]) AS told, lower(told) AS address
        LEFT JOIN users u ON lower(u.email) = address AND NOT u.case_conflict
    ORDER BY address
    ON CONFLICT (address) DO UPDATE SET reason = EXCLUDED.reason, feedback_id = EXCLUDED.feedback_id,
        user_id = COALESCE(EXCLUDED.user_id, s.user_id), created_at = now(), expires_at = EXCLUDED.expires_at
    WHERE s.feedback_id <> EXCLUDED.feedback_id
    RETURNING address""",
)

_NEWEST = Statement(
    "newest_suppressions",
    """
    SELECT address, reason, feedback_id, created_at, expires_at FROM users_mail_suppressions
    WHERE expires_at > now() ORDER BY created_at DESC, address LIMIT %(limit)s""",
)

_LIFT = Statement(
    "lift_suppression",
    """
    DELETE FROM users_mail_suppressions
    WHERE address IN (SELECT lower(told) FROM unnest(%(addresses)s::text[]) AS told) RETURNING address""",
)


def suppress(addresses: Sequence[str], *, reason: str, feedback_id: str, days: int) -> int:
    """Suppress addresses for so many days. Return the number of new or renewed rows, 0 for a known feedback."""
    parameters: dict[str, Any] = {
        "addresses": list(addresses),
        "reason": reason,
        "feedback_id": feedback_id,
        "lifetime": days,
    }
    return len(query(_SUPPRESS, parameters, read_only=False))


def newest(*, limit: int) -> list[DictRow]:
    """Return the newest rows."""
    return query(_NEWEST, {"limit": limit}, read_only=True)


def lift(addresses: Sequence[str]) -> list[str]:
    """Delete the rows of addresses, and return the addresses of these rows."""
    return [row["address"] for row in query(_LIFT, {"addresses": list(addresses)}, read_only=False)]
