"""Publishing events to NATS JetStream, as upstream does (contract §7.1)."""

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

# Upstream's whole configuration: its services ask for this stream when they start, and do not start where they find
# another of that name (pkg/events/nats/subscriber.go:22-35). What is not named here has the server's default there too.
_MAX_MESSAGE = 1024 * 1024  # bytes
_STREAM = StreamConfig(
    name="events",
    description="Magistrala stream for sending and receiving messages in between Magistrala events",
    subjects=["events.>"],
    max_age=24 * 3600,  # seconds
    max_msgs_per_subject=10**9,
    max_msg_size=_MAX_MESSAGE,
)
_ENVELOPE = 1024  # bytes at most, of the headers and around the payload
# JetStream's error codes.
_TOO_LARGE = 10054  # "message size exceeds maximum allowed"
_NO_STREAM = 10059  # "stream not found"
_LARGER = "the event is larger than NATS takes"
_CONNECT_TIMEOUT = 2  # seconds, for one server
_TIMEOUT = 3.0  # seconds, for one answer
_LOOK_TIMEOUT = 1.0  # seconds, for an answer about the stream itself, which no event waits for
_CLOSE_TIMEOUT = 0.3  # seconds: after a failed TLS handshake asyncio waits for ever
# For all that a group may need, so that the function has time left to settle.
_GROUP_TIMEOUT = 8.0
# A connection that was not used for so long may have ended without a word: Lambda stops the process between runs, and
# a NAT gateway forgets connections that are idle.
_TRUSTED = 2.0  # seconds
_CHECK_TIMEOUT = 1  # seconds, for the server's answer to a ping


# The servers whose stream this process has looked at.
_looked_at: set[str] = set()


class NatsChannel:
    """NATS JetStream: subject ``events.magistrala.<operation>``, the stream ``events`` where no other one takes it.

    The body is the protobuf ``messaging.Message`` whose ``payload`` is the event's JSON; ``Nats-Msg-Id`` is the row's
    id, by which the stream drops what it has already. One connection serves as many runs as it lasts for. A connection
    that breaks under a group is replaced once: what the stream has already of it is dropped by its id.
    """

    batch = 500
    group = 500

    def __init__(self, url: str) -> None:
        """``url``: servers by commas, each with ``user:password@`` or ``token@`` where it asks for them."""
        self._url = url
        self._servers = url.split(",")
        self._credentials = _credentials(self._servers)
        self._runner = asyncio.Runner()
        self._client: Client | None = None
        self._is_closed = asyncio.Event()
        self._used_at = 0.0
        self._complaint = ""

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Publish the rows at the same time; delivered is what the stream acknowledged."""
        try:
            results = self._runner.run(asyncio.wait_for(self._publish_all(rows), _GROUP_TIMEOUT))
        except (NatsError, OSError, TimeoutError) as error:
            raise DestinationUnavailable(self._cause(error)) from error
        yield from (result for result in results if isinstance(result, Outcome))
        for failure in (result for result in results if isinstance(result, BaseException)):
            if isinstance(failure, NatsError | OSError | TimeoutError):
                raise DestinationUnavailable(self._cause(failure)) from failure
            raise failure
        if self._url not in _looked_at:
            _looked_at.add(self._url)
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
            # What was taken meanwhile is dropped by its id.
            results = await self._gather(_publish(stream, row, most) for row in rows)
        return results

    async def _gather(self, work: Iterable[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
        """Do all at the same time; the results, or errors. Nothing waits for answers once the connection has ended."""
        tasks = [asyncio.ensure_future(each) for each in work]
        end = asyncio.ensure_future(self._is_closed.wait())
        results = asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait((results, end), return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        for task in tasks:
            task.cancel()
        return [ConnectionClosedError() if isinstance(each, asyncio.CancelledError) else each for each in await results]

    async def _bring_up_to_date(self) -> None:
        """Give a stream that our first release made what it lacked; a failure is logged, and changes nothing else."""
        try:
            client = await self._connected()
            config = await _ask(client, f"INFO.{_STREAM.name}")
            if config is not None and _is_of_first_release(config):
                wanted = {"description": _STREAM.description, "max_msgs_per_subject": _STREAM.max_msgs_per_subject}
                await _ask(client, f"UPDATE.{_STREAM.name}", config | wanted)
        except (NatsError, OSError, TimeoutError, ValueError, KeyError) as error:
            logger.warning("the stream is left as it is: upstream's services may refuse it", cause=self._cause(error))
            self._complaint = ""  # it says nothing about the events

    async def _connected(self) -> Client:
        """The kept connection, where it still works, or another one."""
        if self._client is not None and not await self._is_alive(self._client):
            await self._client.close()
            self._client = None
        if self._client is None:
            self._is_closed.clear()
            self._client = Client()  # known before it is connected: close() ends what a failed attempt left open
            await self._client.connect(
                self._servers,
                connect_timeout=_CONNECT_TIMEOUT,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # 0 would mean without end
                reconnect_time_wait=0,
                error_cb=self._hear,
                closed_cb=self._note_end,
                **self._credentials,
            )
        return self._client

    async def _is_alive(self, client: Client) -> bool:
        """Whether the server answers; it is not asked when it did so a moment ago."""
        if not self._is_closed.is_set() and time.monotonic() - self._used_at > _TRUSTED:
            (answer,) = await self._gather([client.flush(_CHECK_TIMEOUT)])
            return not isinstance(answer, BaseException)
        return not self._is_closed.is_set()

    async def _note_end(self) -> None:
        self._is_closed.set()

    async def _hear(self, error: Exception) -> None:
        """Remember what the server says beside the answers: that publishing is not permitted, for instance."""
        self._complaint = str(error)

    def _cause(self, error: BaseException) -> str:
        return f"NATS: {(self._complaint or str(error) or type(error).__name__).removeprefix('nats: ')}"


def _credentials(servers: list[str]) -> dict[str, Any]:
    """The options of the first server that names a user or a token; nats-py leaves percent-encoding as it is."""
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
    """Publish the row in ``most_bytes`` or, where the stream takes less, without its large values."""
    refusal = ""
    for most in (most_bytes, 0):
        refusal = await _publish_payload(stream, row, as_json(fitted(row.payload, most)))
        if refusal != _LARGER:
            break
    return Outcome(row, refusal)


async def _publish_payload(stream: JetStreamContext, row: Row, payload: bytes) -> str:
    """Publish a row's payload; why the stream would not take it, "" when it did."""
    message = Message(payload=payload).SerializeToString()
    try:
        await stream.publish(f"events.magistrala.{row.name}", message, headers={"Nats-Msg-Id": row.id})
    except MaxPayloadError:
        return _LARGER
    except BadSubjectError:
        return "the event's name makes no subject"
    except APIError as error:
        # All else that a stream says is about itself: it is full, sealed, has no leader.
        if error.err_code != _TOO_LARGE:
            raise
        return _LARGER
    return ""


async def _make_stream(stream: JetStreamContext) -> None:
    """Make the stream that takes events; one that is there already belongs to its operator and stays as it is."""
    with contextlib.suppress(APIError):  # another relay made it just now, or it is there and takes other subjects
        await stream.add_stream(_STREAM)


async def _ask(client: Client, request: str, config: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The stream's configuration as JetStream answers it to a request about it, None where there is no such stream.

    nats-py's own calls would lose what they do not know, which an update would then take away.
    """
    body = json.dumps(config).encode() if config else b""
    answer = json.loads((await client.request(f"$JS.API.STREAM.{request}", body, timeout=_LOOK_TIMEOUT)).data)
    if "error" not in answer:
        return dict(answer["config"])
    if answer["error"].get("err_code") == _NO_STREAM:
        return None
    raise APIError.from_error(answer["error"])


def _is_of_first_release(config: Mapping[str, Any]) -> bool:
    """Whether it is the stream that our first release made, whatever its operator has added since."""
    return (
        "description" not in config
        and config["max_msgs_per_subject"] == -1
        and config["subjects"] == _STREAM.subjects
        and config["max_age"] == _STREAM.as_dict()["max_age"]
        and config["max_msg_size"] == _STREAM.max_msg_size
    )
