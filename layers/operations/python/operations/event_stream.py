"""Publishing events where ``MG_USERS_ES_URL`` says, by its scheme (contract §7.1)."""

import asyncio
import json
from collections.abc import Iterable

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from operations.proto.messaging_pb2 import Message
from operations.relay import Channel, DestinationUnavailable, Outcome, Row
from users.settings import SettingsError, settings

_STREAM = "events"
_SUBJECTS = "events.>"
_MAX_AGE = 24 * 3600  # seconds
_MAX_MESSAGE = 1024 * 1024  # bytes
_TIMEOUT = 3.0  # seconds
_BATCH_TIMEOUT = 20.0


def event_channel() -> Channel:
    """The channel of the configured event store; SettingsError for a scheme that there is none for."""
    url = settings().es_url
    if url.startswith(("nats://", "tls://")):
        return NatsChannel(url)
    raise SettingsError("MG_USERS_ES_URL: must start with nats:// or tls://")


class NatsChannel:
    """NATS JetStream: subject ``events.magistrala.<operation>`` in the stream ``events``, as upstream publishes.

    The body is the protobuf ``messaging.Message`` whose ``payload`` is the event's JSON; ``Nats-Msg-Id`` is the row's
    id, by which the stream drops what it has already.
    """

    def __init__(self, url: str) -> None:
        """``url`` is NATS', with user and password where it asks for them."""
        self._url = url

    def deliver(self, rows: list[Row]) -> Iterable[Outcome]:
        """Publish the rows, each acknowledged by the stream."""
        try:
            return asyncio.run(asyncio.wait_for(self._publish_all(rows), _BATCH_TIMEOUT))
        except (NatsError, OSError, TimeoutError) as error:
            raise DestinationUnavailable(type(error).__name__) from error

    async def _publish_all(self, rows: list[Row]) -> list[Outcome]:
        client = await nats.connect(
            self._url,
            connect_timeout=_TIMEOUT,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # 0 would mean without end
            reconnect_time_wait=0,
            error_cb=_ignore,
        )
        try:
            await _ensure_stream(client)
            return [await self._publish(client, row) for row in rows]
        finally:
            await client.close()

    async def _publish(self, client: Client, row: Row) -> Outcome:
        payload = json.dumps(row.payload, ensure_ascii=False, separators=(",", ":")).encode()
        message = Message(payload=payload).SerializeToString()
        if len(message) > _MAX_MESSAGE:
            return Outcome(row, "the event is larger than the stream takes")
        try:
            await client.jetstream(timeout=_TIMEOUT).publish(
                f"events.magistrala.{row.name}", message, headers={"Nats-Msg-Id": row.id}
            )
        except ServiceUnavailableError:  # the stream is full, or has no leader: nothing is wrong with this event
            raise
        except APIError as error:
            return Outcome(row, f"{type(error).__name__} {error.err_code}")
        return Outcome(row)


async def _ensure_stream(client: Client) -> None:
    """Make the stream where it is missing; an existing one belongs to its operator and stays as it is."""
    stream = client.jetstream(timeout=_TIMEOUT)
    try:
        await stream.stream_info(_STREAM)
    except NotFoundError:
        await stream.add_stream(
            StreamConfig(name=_STREAM, subjects=[_SUBJECTS], max_age=_MAX_AGE, max_msg_size=_MAX_MESSAGE)
        )


async def _ignore(_: Exception) -> None:
    """What goes wrong is raised by the call that it goes wrong in."""
