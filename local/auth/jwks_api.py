"""HTTP: the public keys at ``/keys/.well-known/jwks.json`` (contract §5.6), and ``/health``."""

from __future__ import annotations

import json
import logging
import socketserver
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.auth.signing import Signer

JWKS_PATH = "/keys/.well-known/jwks.json"
_CACHE_CONTROL = "public, max-age=900, stale-while-revalidate=60"  # cmd/auth/main.go:82-83

_log = logging.getLogger(__name__)


class JwksServer(ThreadingHTTPServer):
    """Serves documents that do not change while the process runs."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], signer: Signer) -> None:
        """Bind the address; raises OSError when it is taken."""
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
        status = 200 if path in self.server.documents else 404
        body, headers = self.server.documents.get(path, (b"404 page not found\n", {"Content-Type": "text/plain"}))
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
