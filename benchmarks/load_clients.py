"""Clients that keep their connections and need little CPU: one thread runs all of them on raw sockets.

Each client sends its next request after the answer to the last one. An answer that is no success ends the run: a system
that refuses quickly must not look fast.
"""

import json
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

_TIMEOUT = 60.0
_CHUNK = 65536


@dataclass(frozen=True)
class Operation:
    """An operation to measure. `request` makes a client's next request. `answered` gets the body of its answer."""

    name: str
    request: Callable[[int], bytes]
    answered: Callable[[int, bytes], None] = lambda _client, _body: None


@dataclass(frozen=True)
class Latencies:
    """The seconds of every request in the order of the answers, and the seconds of the whole run."""

    each: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        """The requests in a second."""
        return len(self.each) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the seconds within which this share of the requests got an answer."""
        ordered = sorted(self.each)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Refused(Exception):
    """An answer was no success. The text contains its status and body."""


class _Client:
    """One connection, and the answer that arrives on it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=_TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self._length = -1
        self._head_end = 0

    def send(self, request: bytes) -> None:
        """Send a request."""
        # By default, the kernel acknowledges the first of two parts of an answer after 40 ms. A server without TCP_NODELAY
        # waits for that before it sends the second part.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._received.clear()
        self._length = -1
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Read the next bytes. Return the body if the answer is complete, else None. Raise Refused."""
        chunk = self.socket.recv(_CHUNK)
        if not chunk:
            raise Refused("the connection was closed before the answer was complete")
        self._received += chunk
        if self._length < 0:
            self._head_end = self._received.find(b"\r\n\r\n") + 4
            if self._head_end < 4:
                return None
            self._length = _content_length(bytes(self._received[: self._head_end]))
        if len(self._received) < self._head_end + self._length:
            return None
        status = int(self._received[9:12])
        body = bytes(self._received[self._head_end :])
        if not 200 <= status < 300:
            raise Refused(f"{status} {body.decode(errors='replace')}")
        return body

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0  # 204


def request(
    method: str,
    path: str,
    body: object = None,
    *,
    token: str = "",
    form: str = "",
) -> bytes:
    """Return a request with a JSON `body`, or with a `form`."""
    content = form.encode() if form else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if content:
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, "", ""]).encode() + content


def ask(port: int, sent: bytes) -> tuple[Any, float]:
    """Send one request on a new connection. Return the JSON answer, and its seconds."""
    client = _Client(port)
    try:
        client.send(sent)
        while (body := client.receive()) is None:
            pass
        return json.loads(body) if body else None, time.perf_counter() - client.sent
    finally:
        client.close()


def load(port: int, operation: Operation, clients: int, seconds: float) -> Latencies:
    """Let `clients` send requests for `seconds`, and wait for the last answers. Raise Refused."""
    latencies: list[float] = []
    with ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        asking: dict[int, tuple[int, _Client]] = {}
        for number in range(clients):
            client = _Client(port)
            stack.callback(client.close)
            poll.register(client.socket, select.EPOLLIN)
            asking[client.socket.fileno()] = (number, client)
        began = time.perf_counter()
        for number, client in asking.values():
            client.send(operation.request(number))
        while asking:
            events = poll.poll(_TIMEOUT)
            if not events:
                raise Refused(f"no answer within {_TIMEOUT:.0f} s")
            for descriptor, _ in events:
                number, client = asking[descriptor]
                if (body := client.receive()) is None:
                    continue
                now = time.perf_counter()
                latencies.append(now - client.sent)
                operation.answered(number, body)
                if now - began < seconds:
                    client.send(operation.request(number))
                else:
                    poll.unregister(descriptor)
                    del asking[descriptor]
        return Latencies(latencies, time.perf_counter() - began)
