"""Suppress addresses that bounced or complained. SES reports them through EventBridge."""

from collections.abc import Mapping
from typing import Any

from background.mail.feedback import MalformedFeedback, final_feedback
from background.mail.suppressions import suppress
from users.edge.internal import internal
from users.telemetry.log import logger
from users.telemetry.metrics import count


@internal("record_mail_feedback", foreseen=MalformedFeedback)
def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 -- Lambda's signature
    """Return the number of addresses that are suppressed because of this event.

    MalformedFeedback and Unavailable reach Lambda. It tries twice more, then keeps the event as a dead letter.
    """
    feedback = final_feedback(event)
    if feedback is None:
        logger.info("mail feedback is not final")
        return {"suppressed": 0}
    try:
        suppressed = suppress(feedback.addresses, feedback.reason, feedback.id)
    except ValueError as error:
        raise MalformedFeedback(str(error)) from None
    count("AddressesSuppressed", suppressed)
    logger.info("mail feedback", reason=feedback.reason, feedback_id=feedback.id, suppressed=suppressed)
    return {"suppressed": suppressed}
