"""Deliver the outbox: events, mails, relations, requests for reset mails. Changes and a schedule invoke it."""

from collections.abc import Callable, Mapping
from typing import Any

from background.delivery.ports import Channel
from background.delivery.relay import deliver_due
from background.repository.undelivered import count_parked
from users.edge.internal import internal
from users.readiness import needed
from users.repository.outbox import oldest_age
from users.telemetry.log import logger
from users.telemetry.metrics import age, count

# A run stops claiming when a batch might no longer be settled before Lambda ends the function.
_RESERVE_MILLISECONDS = 10_000
# A run stops waiting for further changes while there is still time for a whole turn. Such changes wake no other run.
_LINGERING_MILLISECONDS = _RESERVE_MILLISECONDS + 10_000


def _events() -> Channel:
    from background.delivery.event_stream import event_channel  # each destination's client only when needed
    from background.delivery.kept_channel import KeptChannel

    return KeptChannel("event", event_channel)


def _mails() -> Channel:
    from background.mail.delivery import MailChannel

    return MailChannel()


def _relations() -> Channel:
    from background.delivery.relations import RelationChannel

    return RelationChannel()


def _reset_requests() -> Channel:
    from background.mail.reset_requests import ResetRequestChannel

    return ResetRequestChannel()


def _revocations() -> Channel:
    from background.delivery.revocations import RevocationChannel

    return RevocationChannel()


_CHANNELS = {
    "event": _events,
    "mail": _mails,
    "relation": _relations,
    "reset_request": _reset_requests,
    "revocation": _revocations,
}


@needed
def _channels() -> None:
    """Open every channel, which connects to nothing yet. WrongSettings for an unknown destination."""
    for channel in _CHANNELS.values():
        channel().close()


@internal("deliver_outbox")
def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 -- the event is empty
    """Deliver the rows that are due. Return the counts of delivered, refused, parked and unavailable rows."""
    left: Callable[[], int] = context.get_remaining_time_in_millis
    counts = deliver_due(_CHANNELS, lambda: left() > _RESERVE_MILLISECONDS, lambda: left() > _LINGERING_MILLISECONDS)
    age("OutboxAge", oldest_age())
    count("OutboxParked", count_parked(ids=None, channel=None))
    if any(counts.values()):  # most scheduled runs deliver nothing
        logger.info("delivered", extra=counts)
    return counts
