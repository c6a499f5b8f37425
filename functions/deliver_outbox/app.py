"""Deliver the outbox: events, mails, relations, and wishes for reset mails. Woken by mutations and each minute."""

from collections.abc import Mapping
from typing import Any

from operations.relay import Channel, deliver_due
from users.log import logger

# A run stops claiming when a batch might no longer be settled before Lambda ends the function.
_RESERVE_MILLISECONDS = 10_000


def _events() -> Channel:
    from operations.event_stream import event_channel  # each destination's client only when needed

    return event_channel()


def _mails() -> Channel:
    from operations.mail_delivery import MailChannel

    return MailChannel()


def _relations() -> Channel:
    from operations.relations import RelationChannel

    return RelationChannel()


def _reset_requests() -> Channel:
    from operations.reset_requests import ResetRequestChannel

    return ResetRequestChannel()


def _revocations() -> Channel:
    from operations.revocations import RevocationChannel

    return RevocationChannel()


_CHANNELS = {
    "event": _events,
    "mail": _mails,
    "relation": _relations,
    "reset_request": _reset_requests,
    "revocation": _revocations,
}


def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 -- the wake-up says nothing
    """Deliver what is due; the counts of what was delivered, refused, parked or found its destination away."""
    logger.append_keys(operation="deliver_outbox", request_id=context.aws_request_id)
    counts = deliver_due(_CHANNELS, lambda: context.get_remaining_time_in_millis() > _RESERVE_MILLISECONDS)
    logger.info("delivered", extra=counts)
    return counts
