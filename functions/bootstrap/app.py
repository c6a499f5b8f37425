"""Set the service up: check the settings, migrate the database, make the first administrator.

Invoked by ``make run`` (event ``{}``), and by CloudFormation as a custom resource, which always gets an answer.
"""

from collections.abc import Mapping
from typing import Any

from background.setup.bootstrap import BootstrapFailed, NewerRelease, bootstrap
from background.setup.custom_resource import RESERVE, answered
from users.edge.internal import internal
from users.telemetry.log import logger
from users.telemetry.metrics import count


@internal("bootstrap", foreseen=BootstrapFailed)
def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Return the schema's version, a sentence on the administrator, and counts of accounts.

    Raise BootstrapFailed with the next step for the operator. Work that would outlast the function ends early enough
    to raise it.
    """
    seconds = context.get_remaining_time_in_millis() / 1000 - RESERVE
    if "ResponseURL" in event:
        work = _update if event["RequestType"] == "Update" else bootstrap
        done = answered(event, context.log_stream_name, lambda: work(seconds), foreseen=BootstrapFailed)
        if "failure" in done:
            count("ServerErrors")  # Lambda sees none: it would call again
        return done
    return bootstrap(seconds)


def _update(seconds: float) -> dict[str, str | int]:
    """Bootstrap, also while CloudFormation rolls an update back: older code works with a newer schema."""
    try:
        return bootstrap(seconds)
    except NewerRelease:  # migrations only add
        logger.warning("the database is of a newer release and stays so")
        return {"schema": "of a newer release"}
