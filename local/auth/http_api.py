"""HTTP: the public keys at ``/keys/.well-known/jwks.json`` (contract §5.6), ``/health``, and trials (trials.py)."""

from __future__ import annotations

import json
import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from local.serving.other_sites import refusal

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from local.auth.trials import Trials

JWKS_PATH = "/keys/.well-known/jwks.json"
_JSON = {"Content-Type": "application/json"}
_CACHE_CONTROL = "public, max-age=900, stale-while-revalidate=60"  # cmd/auth/main.go:82-83

_log = logging.getLogger(__name__)


class HttpServer(ThreadingHTTPServer):
    """Serves the keys that are valid at the moment."""

    daemon_threads = True

    def __init__(
        self, listener: socket.socket, keys: Callable[[], list[dict[str, str]]], trials: Trials | None
    ) -> None:
        """Serve on a listening socket. Without `trials`, their paths answer 404."""
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()  # the base class makes one that is not bound
        self.socket = listener
        self.keys = keys
        self.trials = trials

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class' signature
        """Log a failed connection, for example a client that went away, as one JSON line."""
        _log.warning("http connection failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == JWKS_PATH:
            self._answer(200, _json({"keys": self.server.keys()}), {**_JSON, "Cache-Control": _CACHE_CONTROL})
        elif path == "/health":
            health = {"status": "pass", "description": "auth service"}
            self._answer(200, _json(health), {"Content-Type": "application/health+json"})
        else:
            self._try()

    def do_POST(self) -> None:
        self._try()

    def do_DELETE(self) -> None:
        self._try()

    def _try(self) -> None:
        """Answer a request to one of the trials. They are only for programs of this machine, unlike the keys."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        trials = self.server.trials if refusal(headers) is None else None
        trial = trials.find(self.command, self.path) if trials else None
        if trial is None:
            self._answer(404, b"404 page not found\n", {"Content-Type": "text/plain"})
            return
        try:
            done = trial(body)
        except ValueError as error:
            self._answer(400, _json({"message": str(error)}), _JSON)
        else:
            self._answer(201 if self.command == "POST" else 200, _json(done), _JSON)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002 - the base class' signature
        _log.info("http", extra={"path": getattr(self, "path", ""), "status": int(code)})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' signature
        _log.info("http", extra={"error": format % args})


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
