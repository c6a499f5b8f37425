"""What SES tells of mails by EventBridge: which came back, and of which somebody complained.

The events are those of a configuration set's event destination: ``Email Bounced``, ``Email Complaint Received``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from background.mail.suppressions import Reason

_REASONS: dict[str, Reason] = {"Email Bounced": "bounce", "Email Complaint Received": "complaint"}


class MalformedFeedback(Exception):
    """An event that is none of SES', or not as it is documented; the message holds no address."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """Addresses that shall get no more mails. ``id`` is SES': the same for an event that comes twice."""

    id: str
    reason: Reason
    addresses: list[str]


def final_feedback(event: Mapping[str, Any]) -> Feedback | None:
    """What an event says against its addresses; None when nothing: a full mailbox, a mail that is called no spam.

    Raises MalformedFeedback.
    """
    try:
        reason = _REASONS.get(event["detail-type"])
        if reason is None:
            raise MalformedFeedback("an event that tells neither of a bounce nor of a complaint")
        told = event["detail"][reason]
        if reason == "bounce":
            # Of every kind, SES' own refusal of an address that is on its list (OnAccountSuppressionList), too.
            is_final = told["bounceType"] == "Permanent"
            recipients = told["bouncedRecipients"]
        else:
            is_final = told.get("complaintFeedbackType") != "not-spam"
            recipients = told["complainedRecipients"]
        feedback = Feedback(told["feedbackId"], reason, [recipient["emailAddress"] for recipient in recipients])
    except (AttributeError, KeyError, TypeError) as error:
        raise MalformedFeedback(f"no bounce or complaint of SES as EventBridge tells it: {error!r}") from None
    if not feedback.addresses or not all(isinstance(text, str) for text in (feedback.id, *feedback.addresses)):
        raise MalformedFeedback("a bounce or complaint without an id, or of nobody")
    return feedback if is_final else None
