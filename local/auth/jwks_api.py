"""HTTP: the public keys at ``/keys/.well-known/jwks.json`` (contract §5.6), ``/health``; ``/faults`` when allowed."""

from __future__ import annotations

import json
import logging
import socketserver
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from local.auth.faults import Fault
from local.other_sites import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.auth.faults import Faults
    from local.auth.signing import Signer

JWKS_PATH = "/keys/.well-known/jwks.json"
_JSON = {"Content-Type": "application/json"}
_CACHE_CONTROL = "public, max-age=900, stale-while-revalidate=60"  # cmd/auth/main.go:82-83

_log = logging.getLogger(__name__)


class JwksServer(ThreadingHTTPServer):
    """Serves documents that do not change while the process runs."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], signer: Signer, faults: Faults | None = None) -> None:
        """Bind the address; raises OSError when it is taken. With `faults`, they are made and cleared at /faults."""
        self.faults = faults
        self.documents = {
            JWKS_PATH: (
                _json({"keys": signer.jwks()}),
                {"Content-Type": "application/json", "Cache-Control": _CACHE_CONTROL},
            ),
            "/health": (
                _json({"status": "pass", "description": "auth service"}),
                {"Content-Type": "application/health+json"},
            ),
        }
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without the base class' name lookup, which may ask a DNS server."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class' signature
        """Log a failed connection, such as one that the client broke off, as one JSON line."""
        _log.warning("http connection failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: JwksServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if faults := self._faults():
            self._answer(200, _json(faults.as_json()), _JSON)
        elif path in self.server.documents:
            self._answer(200, *self.server.documents[path])
        else:
            self._not_found()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        faults = self._faults()
        if faults is None:
            self._not_found()
            return
        try:
            faults.add(Fault.from_json(body))
        except ValueError as error:
            self._answer(400, _json({"message": str(error)}), _JSON)
        else:
            self._answer(201, _json(faults.as_json()), _JSON)

    def do_DELETE(self) -> None:
        if faults := self._faults():
            faults.clear()
            self._answer(200, _json([]), _JSON)
        else:
            self._not_found()

    def _faults(self) -> Faults | None:
        """The faults, where they may be made, for what is no page of another site; the keys are public anyway."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return self.server.faults if self.path == "/faults" and refusal(headers) is None else None

    def _not_found(self) -> None:
        self._answer(404, b"404 page not found\n", {"Content-Type": "text/plain"})

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
