"""Relations that a request could not write (architecture.md, "Policies")."""

from collections.abc import Iterator

from operations.relay import DestinationUnavailable, Outcome, Row
from users import policies
from users.errors import Unavailable
from users.models import Role


class RelationChannel:
    """SpiceDB."""

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Write each relation again; TOUCH makes a repetition harmless."""
        for row in rows:
            role = Role.ADMIN if row.payload["administrator"] else Role.USER
            try:
                policies.grant(row.payload["user_id"], role)
            except Unavailable as error:
                raise DestinationUnavailable(type(error.__cause__).__name__) from error
            yield Outcome(row)
