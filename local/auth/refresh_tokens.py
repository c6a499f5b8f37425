"""The refresh tokens on record, which upstream keeps in Redis (contract §4.4 and contract §5.5).

Times are Unix seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from local.auth.database import Connection


class RefreshTokenRecord(NamedTuple):
    """A live refresh token as its owner sees it in the list."""

    id: str
    description: str


def forget_expired(connection: Connection, now: float) -> None:
    """Delete up to 100 expired records of any user, except locked ones."""
    connection.execute(
        "DELETE FROM auth.refresh_tokens WHERE id IN (SELECT id FROM auth.refresh_tokens"
        " WHERE expires_at <= to_timestamp(%s) ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED)",
        [now],
    )


def record(connection: Connection, token_id: str, user_id: str, description: str, expires_at: int) -> None:
    """Record a new refresh token."""
    connection.execute(
        "INSERT INTO auth.refresh_tokens (id, user_id, description, expires_at) VALUES (%s, %s, %s, to_timestamp(%s))",
        [token_id, user_id, description, expires_at],
    )


def renew(connection: Connection, token_id: str, now: float) -> bool:
    """Record a use of the token, which loses its description as upstream. Return False if it is not on record."""
    return bool(
        connection.execute(
            "UPDATE auth.refresh_tokens SET description = '' WHERE id = %s AND expires_at > to_timestamp(%s)",
            [token_id, now],
        ).rowcount
    )


def rotate(connection: Connection, token_id: str, new_id: str, now: float) -> bool:
    """Replace the token's id and clear its description. Return False if the token is not on record.

    Of two calls at the same time, only one gets True.
    """
    return bool(
        connection.execute(
            "UPDATE auth.refresh_tokens SET id = %s, description = '' WHERE id = %s AND expires_at > to_timestamp(%s)",
            [new_id, token_id, now],
        ).rowcount
    )


def forget(connection: Connection, token_id: str) -> None:
    """Delete the record of any user. Ignore an unknown id."""
    connection.execute("DELETE FROM auth.refresh_tokens WHERE id = %s", [token_id])


def forget_owned(connection: Connection, token_id: str, user_id: str) -> bool:
    """Delete the record of this user. Return False if there is none."""
    return bool(
        connection.execute(
            "DELETE FROM auth.refresh_tokens WHERE id = %s AND user_id = %s", [token_id, user_id]
        ).rowcount
    )


def live(connection: Connection, user_id: str, now: float) -> list[RefreshTokenRecord]:
    """Return the user's live tokens in the order of their expiry."""
    rows = connection.execute(
        "SELECT id, description FROM auth.refresh_tokens"
        " WHERE user_id = %s AND expires_at > to_timestamp(%s) ORDER BY expires_at, id",
        [user_id, now],
    )
    return [RefreshTokenRecord(*row) for row in rows]
