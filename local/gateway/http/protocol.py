"""The HTTP protocol of both interfaces: uvicorn's, with two weaknesses mended.

uvicorn ends a connection on which nothing comes. It does not end one on which a request has begun, so one byte a minute
keeps it open. It also takes a request that has both Content-Length and Transfer-Encoding. A proxy before it may go by
the other header, and see another request (RFC 9112, 6.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from local.gateway.http.asgi import send_response
from local.gateway.http.responses import error_response

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from local.gateway.http.asgi import Application, Receive, Scope, Send

# Seconds that the answer to a late body (408) has, before the connection is dropped.
_ANSWER = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a client has to send a request's headers, and then its body."""

    headers: float
    body: float


class PatientProtocol(H11Protocol):
    """Drops a connection whose client does not send the headers or the body of its request in time."""

    def __init__(self, *arguments: Any, patience: Patience, **options: Any) -> None:
        """Take uvicorn's arguments, and the `patience`."""
        super().__init__(*arguments, **options)
        self._patience = patience
        self._owed = ""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request's headers."""
        super().connection_made(transport)
        self._wait_for("headers")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        super().connection_lost(exc)
        self._wait_for("")

    def data_received(self, data: bytes) -> None:
        """Take what came, and wait for what the request still lacks."""
        super().data_received(data)
        self._wait_for(self._missing(idle="headers"))

    def on_response_complete(self) -> None:
        """Go on to the next request. Until one begins, uvicorn times the idle connection itself."""
        super().on_response_complete()
        self._wait_for(self._missing(idle="headers" if self.conn.trailing_data[0] else ""))

    def _missing(self, *, idle: str) -> str:
        """What the client has begun and not finished; `idle` where it may have begun headers."""
        if self.transport.is_closing():
            return ""
        return {h11.IDLE: idle, h11.SEND_BODY: "body"}.get(self.conn.their_state, "")

    def _wait_for(self, owed: str) -> None:
        """Start the time for what is `owed`; it runs on when that was owed before."""
        if owed == self._owed:
            return
        self._owed = owed
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if owed:
            seconds = self._patience.headers if owed == "headers" else self._patience.body + _ANSWER
            self._timer = self.loop.call_later(seconds, self.transport.abort)


def patient_protocol(patience: Patience) -> Callable[..., PatientProtocol]:
    """Return what makes the protocols of a server, as uvicorn's `http`."""
    return partial(PatientProtocol, patience=patience)


class UnambiguousRequests:
    """An ASGI application before which a request whose length can be read in two ways is refused."""

    def __init__(self, application: Application) -> None:
        """Pass every other request on to `application`."""
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a refused one ends its connection, so that its body is not taken for a request."""
        names = {name for name, _ in scope["headers"]}
        if b"transfer-encoding" in names and (b"content-length" in names or scope["http_version"] == "1.0"):
            response = error_response(400, "Bad Request")
            response.headers.append(("connection", "close"))
            await send_response(response, send)
            return
        await self._application(scope, receive, send)
