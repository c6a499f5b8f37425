"""Verification links that upstream mailed before a takeover: rows of ``users_verifications`` (contract §4.1)."""

from collections.abc import Sequence
from datetime import datetime

from users.repository.database import query
from users.repository.one_time_tokens import Addressee, Holder
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.repository.statements import Part, Statement
from users.rules.outbox_records import Record

_USE_UPSTREAM_LINK = Statement(
    "use_upstream_link",
    Part(
        "latest",
        """
            SELECT otp, expires_at, used_at FROM users_verifications
            WHERE user_id = %(user_id)s AND email = %(email)s ORDER BY created_at DESC LIMIT 1""",
        gives=("otp", "expires_at", "used_at"),
    ),
    Part(
        "used",
        """
            UPDATE users_verifications v SET used_at = %(at)s FROM latest
            WHERE v.user_id = %(user_id)s AND v.email = %(email)s AND v.used_at IS NULL
                AND latest.otp = %(otp)s AND latest.used_at IS NULL AND latest.expires_at > now()
            RETURNING v.user_id""",
        needs={"latest": ("otp", "expires_at", "used_at")},
        gives=("user_id",),
    ),
    Part(
        "changed",
        """
            UPDATE users u SET verified_at = %(at)s, self_registered = false
            WHERE u.id IN (SELECT user_id FROM used) AND u.email = %(email)s AND u.status = 0
            RETURNING u.id""",
        needs={"used": ("user_id",)},
        gives=("id",),
    ),
    INSERT_RECORDS,
    "SELECT id FROM changed",
)

_FIND_UPSTREAM_ADDRESSEE = Statement(
    "find_upstream_addressee",
    """
        SELECT u.id AS user_id, COALESCE(u.metadata->>'locale', '') AS locale,
            CASE WHEN u.status = 0 AND u.email = v.email AND u.verified_at IS NULL THEN u.email ELSE '' END AS email
        FROM users_verifications v JOIN users u ON u.id = v.user_id
        WHERE v.user_id = %(id)s AND v.email = %(email)s AND v.otp = %(otp)s""",
)

_FIND_UPSTREAM_HOLDER = Statement(
    "find_upstream_holder",
    """
        SELECT u.id AS user_id, COALESCE(u.username, '') AS username, v.email,
            u.created_at AT TIME ZONE 'UTC' AS registered_at, COALESCE(u.metadata->>'locale', '') AS locale
        FROM users_verifications v JOIN users u ON u.id = v.user_id
        WHERE v.user_id = %(id)s AND v.email = %(email)s AND v.otp = %(otp)s""",
)


def use_upstream_link(user_id: str, email: str, otp: str, records: Sequence[Record], *, at: datetime) -> bool:
    """Verify by the three values of upstream. Return False if their newest row does not match, is used or expired."""
    parameters = {"user_id": user_id, "email": email, "otp": otp, "at": at, "records": as_rows(records)}
    return bool(query(_USE_UPSTREAM_LINK, parameters, read_only=False))


def find_upstream_addressee(user_id: str, email: str, otp: str) -> Addressee | None:
    """Return the account that upstream mailed this link to, also a used or expired one. None for an invented link."""
    rows = query(_FIND_UPSTREAM_ADDRESSEE, {"id": user_id, "email": email, "otp": otp}, read_only=True)
    return Addressee(**rows[0]) if rows else None


def find_upstream_holder(user_id: str, email: str, otp: str) -> Holder | None:
    """Return the account of a link, also of a used or expired one, with the address of the link. None for no link."""
    rows = query(_FIND_UPSTREAM_HOLDER, {"id": user_id, "email": email, "otp": otp}, read_only=True)
    return Holder(**rows[0], secret_hash="", purpose="verification", is_removable=False) if rows else None
