"""The part of ASGI that both HTTP interfaces need: read a body up to a limit, send a whole response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Bytes of a body above the limit that are still read and thrown away. Otherwise the client sees a connection reset
# while it sends, and not the answer.
_DRAIN_LIMIT = 64 * 1024 * 1024

_BODILESS = {204, 304}


class BodyTooLarge(Exception):
    """The body of a request is above the limit."""


class ClientGone(Exception):
    """A client closed the connection before its request was complete."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response. Header names are in any case, and content-length is not among them."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers by their names in lower case. Of a repeated header the last one counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def media_type(content_type: str) -> str:
    """Return the media type in a content-type header, in lower case and without parameters."""
    return content_type.partition(";")[0].strip().lower()


def has_body(scope: Scope) -> bool:
    """Return whether the request announces a body, which may be empty (RFC 9112, 6.3)."""
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Return the request's body. Raise BodyTooLarge above `limit` bytes, and ClientGone."""
    headers = dict(scope["headers"])
    # A client with `Expect: 100-continue` waits for an answer before it sends the body.
    if b"expect" in headers and int(headers.get(b"content-length", 0)) > limit:
        raise BodyTooLarge
    body, size, more = bytearray(), 0, True
    while more and size <= _DRAIN_LIMIT:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            body += chunk
        more = message.get("more_body", False)
    if size > limit:
        raise BodyTooLarge
    return bytes(body)


async def send_response(response: Response, send: Send, *, head: bool = False) -> None:
    """Send `response` with its length. The answer to a HEAD request (`head`) has the same headers and no body."""
    headers = [(name.lower().encode("latin-1"), value.encode()) for name, value in response.headers]
    body = b"" if response.status in _BODILESS else response.body
    if response.status not in _BODILESS:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
