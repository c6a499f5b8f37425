"""The channel that revokes refresh tokens at Auth after a change of their account (decisions 15)."""

from collections.abc import Iterator

from background.delivery.ports import DestinationUnavailable, Outcome, Row
from users.errors import Unavailable, UsersError
from users.peers import auth


class RevocationChannel:
    """Auth."""

    batch = 50
    group = 10

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Revoke each token of each row. It may run again."""
        for row in rows:
            try:
                for token_id in row.payload["token_ids"]:
                    auth.revoke(row.user_id or "", token_id)
            except Unavailable as error:
                raise DestinationUnavailable(f"Auth: {error.reason}") from error
            except UsersError as error:
                yield Outcome(row, error.code)
            else:
                yield Outcome(row)

    def close(self) -> None:
        """Leave the channel to Auth open. It belongs to the execution environment."""
