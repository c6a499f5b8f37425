"""The HTTP protocol of both interfaces: uvicorn's, without two of its weaknesses.

uvicorn ends an idle connection, but not one on which a request has begun: one byte a minute keeps it open. uvicorn also
accepts a request with both Content-Length and Transfer-Encoding. A proxy before the gateway may follow the other
header, and then both see different requests (RFC 9112, 6.1).
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

# Seconds for sending the answer to a late body (408), before the connection is dropped.
_ANSWER = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """The seconds in which a client must send a request's headers, and then its body."""

    headers: float
    body: float


class PatientProtocol(H11Protocol):
    """Drops a connection if headers or body of a request do not arrive in time."""

    def __init__(self, *arguments: Any, patience: Patience, **options: Any) -> None:
        """Take uvicorn's arguments, and the `patience`."""
        super().__init__(*arguments, **options)
        self._patience = patience
        self._awaited = ""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the first request's headers."""
        super().connection_made(transport)
        self._wait_for("headers")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time."""
        super().connection_lost(exc)
        self._wait_for("")

    def data_received(self, data: bytes) -> None:
        """Take the data, and start the time for the missing part of the request."""
        super().data_received(data)
        self._wait_for(self._missing(idle="headers"))

    def on_response_complete(self) -> None:
        """Start the time for the next request if it has begun. Otherwise uvicorn times the idle connection."""
        super().on_response_complete()
        self._wait_for(self._missing(idle="headers" if self.conn.trailing_data[0] else ""))

    def _missing(self, *, idle: str) -> str:
        """Return the part of a request that the client has begun and not finished, or `idle` between two requests."""
        if self.transport.is_closing():
            return ""
        return {h11.IDLE: idle, h11.SEND_BODY: "body"}.get(self.conn.their_state, "")

    def _wait_for(self, missing: str) -> None:
        """Start the time for the missing part. If the same part was missing before, its time runs on."""
        if missing == self._awaited:
            return
        self._awaited = missing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if missing:
            seconds = self._patience.headers if missing == "headers" else self._patience.body + _ANSWER
            self._timer = self.loop.call_later(seconds, self.transport.abort)


def patient_protocol(patience: Patience) -> Callable[..., PatientProtocol]:
    """Return a maker of protocols, for the option `http` of uvicorn."""
    return partial(PatientProtocol, patience=patience)


class UnambiguousRequests:
    """An ASGI application that refuses every request whose length can be read in two ways."""

    def __init__(self, application: Application) -> None:
        """Pass every other request on to `application`."""
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. A refusal ends the connection, so that the body is not taken for a request."""
        names = {name for name, _ in scope["headers"]}
        if b"transfer-encoding" in names and (b"content-length" in names or scope["http_version"] == "1.0"):
            response = error_response(400, "Bad Request")
            response.headers.append(("connection", "close"))
            await send_response(response, send)
            return
        await self._application(scope, receive, send)
