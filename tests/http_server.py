"""A small real HTTP server on 127.0.0.1 that records its requests."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One request. The names of its headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class HttpServer:
    """The requests to a running server, and its answer: ``status`` and ``body``, or no answer at all."""

    url: str
    status: int = 200
    body: bytes = b""
    received: list[Received] = field(default_factory=list)
    # Called before the answer, in the thread of the request. It may wait, or raise to close the connection without an
    # answer.
    before_answer: Callable[[], None] = lambda: None
    # Returns the status and body of the answer to a request, for requests that come at the same time.
    answer_to: Callable[[Received], tuple[int, bytes]] | None = None


@contextmanager
def http_server(status: int = 200, body: bytes = b"", tls: ssl.SSLContext | None = None) -> Iterator[HttpServer]:
    """Serve on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            received = Received(self.command, self.path, headers, content)
            state.received.append(received)
            try:
                state.before_answer()
                status, answer_body = state.answer_to(received) if state.answer_to else (state.status, state.body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer_body)))
                self.end_headers()
                self.wfile.write(answer_body)
            except ConnectionError:  # raised by before_answer, or the client is gone
                self.close_connection = True

        do_GET = do_POST = do_PUT = answer  # noqa: N815 -- the names http.server asks for

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- its signature
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.block_on_close = False  # a client may keep its connection open
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    state = HttpServer(f"http{'s' * bool(tls)}://127.0.0.1:{server.server_port}", status, body)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
