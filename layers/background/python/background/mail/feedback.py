"""The feedback of SES about mails, by EventBridge: bounces and complaints.

A configuration set's event destination sends the events ``Email Bounced`` and ``Email Complaint Received``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from background.mail.suppressions import Reason

_REASONS: dict[str, Reason] = {"Email Bounced": "bounce", "Email Complaint Received": "complaint"}


class MalformedFeedback(Exception):
    """An event that is not SES', or not in the documented form. The message contains no address."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """Addresses that must get no more mails. ``id`` is SES' id, the same for a repeated event."""

    id: str
    reason: Reason
    addresses: list[str]


def final_feedback(event: Mapping[str, Any]) -> Feedback | None:
    """Return the feedback of an event that suppresses its addresses, None for a full mailbox and for "not spam".

    Raise MalformedFeedback for any other event.
    """
    try:
        reason = _REASONS.get(event["detail-type"])
        if reason is None:
            raise MalformedFeedback("the event is neither a bounce nor a complaint")
        detail = event["detail"][reason]
        if reason == "bounce":
            # Of every subtype, also for an address on SES' own list (OnAccountSuppressionList).
            is_final = detail["bounceType"] == "Permanent"
            recipients = detail["bouncedRecipients"]
        else:
            is_final = detail.get("complaintFeedbackType") != "not-spam"
            recipients = detail["complainedRecipients"]
        feedback = Feedback(detail["feedbackId"], reason, [recipient["emailAddress"] for recipient in recipients])
    except (AttributeError, KeyError, TypeError) as error:
        raise MalformedFeedback(f"not a bounce or complaint of SES in the documented form: {error!r}") from None
    if not feedback.addresses or not all(isinstance(text, str) for text in (feedback.id, *feedback.addresses)):
        raise MalformedFeedback("a bounce or complaint without an id or addresses")
    return feedback if is_final else None
