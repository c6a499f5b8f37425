"""Remove accounts at the end of their grace period, and warn their owners before (decisions 18)."""

from collections.abc import Mapping
from typing import Any

from background.removal.sweep import sweep
from users.edge.internal import internal
from users.telemetry.log import logger
from users.telemetry.metrics import count

# A run begins no batch that might not end before Lambda ends the function.
_RESERVE_MILLISECONDS = 30_000


@internal("sweep_accounts")
def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 -- the event is empty
    """Return the counts of accounts that were swept, failed, warned and left for the next run."""
    counts = sweep(lambda: context.get_remaining_time_in_millis() > _RESERVE_MILLISECONDS)
    count("AccountsSwept", counts["swept"])
    count("SweepFailures", counts["failed"])
    logger.info("swept", extra=counts)
    return counts
