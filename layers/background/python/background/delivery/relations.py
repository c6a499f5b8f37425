"""Relations that a request could not write (decisions 28)."""

from collections.abc import Iterator

from background.delivery.ports import DestinationUnavailable, Outcome, Row
from users.errors import Unavailable
from users.steps.granting import settle

# Statuses that are about one relation. A missing schema (FAILED_PRECONDITION) or a wrong key (UNAUTHENTICATED) refuses
# all relations: they wait for the operator, and their age raises the alarm.
_REFUSALS = {"INVALID_ARGUMENT", "OUT_OF_RANGE"}


class RelationChannel:
    """SpiceDB."""

    batch = 50
    group = 10

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Make the relations match the accounts as they are now, not as they were at the failure. It may run again."""
        for row in rows:
            try:
                settle(row.payload["user_id"])
            except Unavailable as error:
                if error.reason not in _REFUSALS:
                    raise DestinationUnavailable(f"{error.dependency}: {error.reason}") from error
                yield Outcome(row, f"SpiceDB: {error.reason}")
            else:
                yield Outcome(row)

    def close(self) -> None:
        """Leave the channel to SpiceDB open. It belongs to the execution environment."""
