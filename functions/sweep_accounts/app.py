"""Remove the accounts whose grace period is over, and warn those whose is about to be (decisions.md 18). Scheduled."""

from collections.abc import Mapping
from typing import Any

from background.removal.sweep import sweep
from users.edge.internal import internal
from users.telemetry.log import logger
from users.telemetry.metrics import count

# A run begins nothing more when a batch might no longer be finished before Lambda ends the function.
_RESERVE_MILLISECONDS = 30_000


@internal("sweep_accounts")
def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 -- the schedule says nothing
    """The counts of what was swept, failed, warned and is left for the next run."""
    counts = sweep(lambda: context.get_remaining_time_in_millis() > _RESERVE_MILLISECONDS)
    count("AccountsSwept", counts["swept"])
    count("SweepFailures", counts["failed"])
    logger.info("swept", extra=counts)
    return counts
