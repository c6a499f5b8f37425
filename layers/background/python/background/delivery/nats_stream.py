"""The channel that publishes events to NATS JetStream, as upstream does (contract §7.1)."""

import asyncio
import contextlib
import json
import time
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from nats.aio.client import Client
from nats.errors import BadSubjectError, ConnectionClosedError, MaxPayloadError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NoStreamResponseError

from background.delivery.event_size import as_json, fitted
from background.delivery.ports import DestinationUnavailable, Outcome, Row
from background.delivery.proto.messaging_pb2 import Message
from users.settings import WrongSettings
from users.telemetry.log import logger

T = TypeVar("T")

# Upstream's whole configuration. Its services create this stream when they start, and fail when the stream of this name
# differs (pkg/events/nats/subscriber.go:22-35). Settings that are absent here have the server's default there too.
_MAX_MESSAGE = 1024 * 1024  # bytes
_STREAM = StreamConfig(
    name="events",
    description="Magistrala stream for sending and receiving messages in between Magistrala events",
    subjects=["events.>"],
    max_age=24 * 3600,  # seconds
    max_msgs_per_subject=10**9,
    max_msg_size=_MAX_MESSAGE,
)
_ENVELOPE = 1024  # bytes at most, for the headers and the message around the payload
# JetStream's error codes.
_TOO_LARGE = 10054  # "message size exceeds maximum allowed"
_NO_STREAM = 10059  # "stream not found"
_LARGER = "the event is larger than NATS takes"
_CONNECT_TIMEOUT = 2  # seconds, for one server
_TIMEOUT = 3.0  # seconds, for one answer
_LOOK_TIMEOUT = 1.0  # seconds, for an answer about the stream, on which no event waits
_CLOSE_TIMEOUT = 0.3  # seconds, because asyncio waits for ever after a failed TLS handshake
# For all of a group, so that the function has time left to settle its rows.
_GROUP_TIMEOUT = 8.0  # seconds
# A connection that is idle for longer may have ended unnoticed: Lambda stops the process between runs, and NAT gateways
# forget idle connections.
_TRUSTED = 2.0  # seconds
_CHECK_TIMEOUT = 1  # seconds, for the server's answer to a ping


# The servers whose stream this process has checked.
_checked: set[str] = set()


class NatsChannel:
    """NATS JetStream: subject ``events.magistrala.<operation>``, stream ``events`` unless another stream takes it.

    The body is the protobuf ``messaging.Message`` whose ``payload`` is the event's JSON. ``Nats-Msg-Id`` is the row's
    id, by which the stream drops a repeated event. The connection is kept for the next runs. When it breaks during a
    group, a new connection publishes the whole group again, once.
    """

    batch = 500
    group = 500

    def __init__(self, url: str) -> None:
        """Parse servers between commas, each with ``user:password@`` or ``token@`` if it needs them."""
        self._url = url
        self._servers = url.split(",")
        self._credentials = _credentials(self._servers)
        self._runner = asyncio.Runner()
        self._client: Client | None = None
        self._is_closed = asyncio.Event()
        self._used_at = 0.0
        self._complaint = ""

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Publish the rows at the same time. An event is delivered when the stream has acknowledged it."""
        try:
            results = self._runner.run(asyncio.wait_for(self._publish_all(rows), _GROUP_TIMEOUT))
        except (NatsError, OSError, TimeoutError) as error:
            raise DestinationUnavailable(self._cause(error)) from error
        yield from (result for result in results if isinstance(result, Outcome))
        for failure in (result for result in results if isinstance(result, BaseException)):
            if isinstance(failure, NatsError | OSError | TimeoutError):
                raise DestinationUnavailable(self._cause(failure)) from failure
            raise failure
        if self._url not in _checked:
            _checked.add(self._url)
            self._runner.run(self._bring_up_to_date())

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                self._runner.run(asyncio.wait_for(self._client.close(), _CLOSE_TIMEOUT))
        self._runner.close()

    async def _publish_all(self, rows: list[Row]) -> Sequence[Outcome | BaseException]:
        was_kept = self._client is not None
        results = await self._publish_on(await self._connected(), rows)
        if was_kept and self._is_closed.is_set():
            results = await self._publish_on(await self._connected(), rows)
        self._used_at = time.monotonic()
        return results

    async def _publish_on(self, client: Client, rows: list[Row]) -> Sequence[Outcome | BaseException]:
        stream, most = client.jetstream(timeout=_TIMEOUT), min(client.max_payload, _MAX_MESSAGE) - _ENVELOPE
        results = await self._gather(_publish(stream, row, most) for row in rows)
        if any(isinstance(result, NoStreamResponseError) for result in results):
            await _make_stream(stream)
            # The new stream drops repeated events by their ids.
            results = await self._gather(_publish(stream, row, most) for row in rows)
        return results

    async def _gather(self, work: Iterable[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
        """Run all at the same time. Return results and errors. Wait for no answer after the end of the connection."""
        tasks = [asyncio.ensure_future(each) for each in work]
        end = asyncio.ensure_future(self._is_closed.wait())
        results = asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait((results, end), return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        for task in tasks:
            task.cancel()
        return [ConnectionClosedError() if isinstance(each, asyncio.CancelledError) else each for each in await results]

    async def _bring_up_to_date(self) -> None:
        """Add the settings that a stream of the first release lacks. Log a failure, which changes nothing else."""
        try:
            client = await self._connected()
            config = await _ask(client, f"INFO.{_STREAM.name}")
            if config is not None and _is_of_first_release(config):
                wanted = {"description": _STREAM.description, "max_msgs_per_subject": _STREAM.max_msgs_per_subject}
                await _ask(client, f"UPDATE.{_STREAM.name}", config | wanted)
        except (NatsError, OSError, TimeoutError, ValueError, KeyError) as error:
            logger.warning("the stream is left as it is: upstream's services may refuse it", cause=self._cause(error))
            self._complaint = ""  # it is not about the events

    async def _connected(self) -> Client:
        """Return the kept connection if it still works, else a new one."""
        if self._client is not None and not await self._is_alive(self._client):
            await self._client.close()
            self._client = None
        if self._client is None:
            self._is_closed.clear()
            self._client = Client()  # set before it connects, so that close() can end a failed attempt
            await self._client.connect(
                self._servers,
                connect_timeout=_CONNECT_TIMEOUT,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # 0 would mean no limit
                reconnect_time_wait=0,
                error_cb=self._note_complaint,
                closed_cb=self._note_end,
                **self._credentials,
            )
        return self._client

    async def _is_alive(self, client: Client) -> bool:
        """Return whether the server answers. Trust an answer of a moment ago."""
        if not self._is_closed.is_set() and time.monotonic() - self._used_at > _TRUSTED:
            (answer,) = await self._gather([client.flush(_CHECK_TIMEOUT)])
            return not isinstance(answer, BaseException)
        return not self._is_closed.is_set()

    async def _note_end(self) -> None:
        self._is_closed.set()

    async def _note_complaint(self, error: Exception) -> None:
        """Keep an error that the server sends outside its answers, a missing permission to publish for instance."""
        self._complaint = str(error)

    def _cause(self, error: BaseException) -> str:
        return f"NATS: {(self._complaint or str(error) or type(error).__name__).removeprefix('nats: ')}"


def _credentials(servers: list[str]) -> dict[str, Any]:
    """Return the options of the first server with a user or token. nats-py does not decode percent-encoding."""
    found: dict[str, str] = {}
    for server in servers:
        try:
            parts = urlsplit(server)
            is_address = parts.scheme in {"nats", "tls"} and parts.hostname and parts.port != 0
        except ValueError:
            is_address = None
        if not is_address:
            raise WrongSettings("MG_USERS_ES_URL: each server must be nats://host:port or tls://host:port")
        if parts.username and not found:
            user = unquote(parts.username)
            found = {"token": user} if parts.password is None else {"user": user, "password": unquote(parts.password)}
    return found


async def _publish(stream: JetStreamContext, row: Row, most_bytes: int) -> Outcome:
    """Publish the row in ``most_bytes`` or, if the stream accepts less, without its large values."""
    refusal = ""
    for most in (most_bytes, 0):
        refusal = await _publish_payload(stream, row, as_json(fitted(row.payload, most)))
        if refusal != _LARGER:
            break
    return Outcome(row, refusal)


async def _publish_payload(stream: JetStreamContext, row: Row, payload: bytes) -> str:
    """Publish a row's payload. Return the reason of a refusal, "" when the stream accepted it."""
    message = Message(payload=payload).SerializeToString()
    try:
        await stream.publish(f"events.magistrala.{row.name}", message, headers={"Nats-Msg-Id": row.id})
    except MaxPayloadError:
        return _LARGER
    except BadSubjectError:
        return "the event's name is no valid subject"
    except APIError as error:
        # Every other error is about the stream: it is full or sealed, or has no leader.
        if error.err_code != _TOO_LARGE:
            raise
        return _LARGER
    return ""


async def _make_stream(stream: JetStreamContext) -> None:
    """Make the stream for events. Leave an existing stream as it is, because it belongs to its operator."""
    with contextlib.suppress(APIError):  # another relay made it just now, or it exists with other subjects
        await stream.add_stream(_STREAM)


async def _ask(client: Client, request: str, config: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Send a request about a stream. Return the configuration of the answer, None when there is no such stream.

    nats-py's calls drop settings that they do not support, and an update would then remove these settings.
    """
    body = json.dumps(config).encode() if config else b""
    answer = json.loads((await client.request(f"$JS.API.STREAM.{request}", body, timeout=_LOOK_TIMEOUT)).data)
    if "error" not in answer:
        return dict(answer["config"])
    if answer["error"].get("err_code") == _NO_STREAM:
        return None
    raise APIError.from_error(answer["error"])


def _is_of_first_release(config: Mapping[str, Any]) -> bool:
    """Return whether our first release made the stream. Ignore settings that the operator has added since."""
    return (
        "description" not in config
        and config["max_msgs_per_subject"] == -1
        and config["subjects"] == _STREAM.subjects
        and config["max_age"] == _STREAM.as_dict()["max_age"]
        and config["max_msg_size"] == _STREAM.max_msg_size
    )
