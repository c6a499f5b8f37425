"""Live refresh tokens, which upstream keeps in Redis (contract §4.4, §5.5); times are Unix seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from local.auth.database import Connection


class RefreshTokenRecord(NamedTuple):
    """A live refresh token as its owner sees it."""

    id: str
    description: str


def forget_expired(connection: Connection, now: float) -> None:
    """Remove some records that have expired, any user's; never waits for a lock."""
    connection.execute(
        "DELETE FROM auth.refresh_tokens WHERE id IN (SELECT id FROM auth.refresh_tokens"
        " WHERE expires_at <= to_timestamp(%s) ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED)",
        [now],
    )


def record(connection: Connection, token_id: str, user_id: str, description: str, expires_at: int) -> None:
    """Remember a new refresh token."""
    connection.execute(
        "INSERT INTO auth.refresh_tokens (id, user_id, description, expires_at) VALUES (%s, %s, %s, to_timestamp(%s))",
        [token_id, user_id, description, expires_at],
    )


def renew(connection: Connection, token_id: str, now: float) -> bool:
    """Note a use of the token; its description is lost, as upstream. False when it is not on record."""
    return bool(
        connection.execute(
            "UPDATE auth.refresh_tokens SET description = '' WHERE id = %s AND expires_at > to_timestamp(%s)",
            [token_id, now],
        ).rowcount
    )


def rotate(connection: Connection, token_id: str, new_id: str, now: float) -> bool:
    """Give the record a new id, once: of two that try, one gets False. Its description is lost."""
    return bool(
        connection.execute(
            "UPDATE auth.refresh_tokens SET id = %s, description = '' WHERE id = %s AND expires_at > to_timestamp(%s)",
            [new_id, token_id, now],
        ).rowcount
    )


def forget(connection: Connection, token_id: str) -> None:
    """Remove the record, whoever owns it; an unknown id is nothing to do."""
    connection.execute("DELETE FROM auth.refresh_tokens WHERE id = %s", [token_id])


def forget_owned(connection: Connection, token_id: str, user_id: str) -> bool:
    """Remove the record if it is this user's. False when there is no such record."""
    return bool(
        connection.execute(
            "DELETE FROM auth.refresh_tokens WHERE id = %s AND user_id = %s", [token_id, user_id]
        ).rowcount
    )


def live(connection: Connection, user_id: str, now: float) -> list[RefreshTokenRecord]:
    """The user's unexpired tokens, the first to expire first."""
    rows = connection.execute(
        "SELECT id, description FROM auth.refresh_tokens"
        " WHERE user_id = %s AND expires_at > to_timestamp(%s) ORDER BY expires_at, id",
        [user_id, now],
    )
    return [RefreshTokenRecord(*row) for row in rows]
