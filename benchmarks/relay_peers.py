"""The peers of the relay in relay.py: an event bus, and a Lambda API."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from loopback_server import serving

FUNCTION = "DeliverOutboxFunction"
_INVOKE = f"/2015-03-31/functions/{FUNCTION}/invocations"


class Bus:
    """An event bus. `answered` has the moment of the answer by each event's number."""

    def __init__(self, put_seconds: float) -> None:
        self.answered: dict[int, float] = {}
        self._put_seconds = put_seconds

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve on a free port. Yield the address."""
        bus = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                """Answer PutEvents."""
                entries = json.loads(self.rfile.read(int(self.headers["content-length"]))).get("Entries", [])
                time.sleep(bus._put_seconds)
                body = json.dumps({"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in entries]}).encode()
                moment = time.monotonic()
                for entry in entries:
                    bus.answered.setdefault(json.loads(entry["Detail"])["number"], moment)
                head = f"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {len(body)}\r\n\r\n"
                self.wfile.write(head.encode() + body)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        with serving(Handler) as url:
            yield url


@contextmanager
def delayed_api(url: str, seconds: float) -> Iterator[str]:
    """Yield the address of an Invoke API that passes asynchronous invokes on after some seconds."""

    def later(path: str) -> None:
        time.sleep(seconds)
        invoke(url, path)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Accept an invoke, and pass it on later."""
            self.rfile.read(int(self.headers["content-length"]))
            threading.Thread(target=later, args=(self.path,), daemon=True).start()
            self.wfile.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    if seconds == 0:
        yield url
    else:
        with serving(Handler) as delayed:
            yield delayed


def invoke(url: str, path: str = _INVOKE, *, kind: str = "Event") -> None:
    """Run deliver_outbox. Raise RuntimeError if the API refuses the call."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=120)
    connection.request("POST", path, b"{}", {"content-type": "application/json", "x-amz-invocation-type": kind})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    if response.status >= 300 or response.getheader("x-amz-function-error"):
        raise RuntimeError(f"{response.status} {text.decode()}")
