"""HTTP: the public keys at ``/keys/.well-known/jwks.json`` (contract §5.6) and ``/health``.

Where AUTH_FAULTS=1 allows it, faults are made at ``/faults``, and ``/rotations`` replaces the key that signs:

    curl -X POST localhost:9001/rotations -d '{}'               # a new key of the same key id
    curl -X POST localhost:9001/rotations -d '{"kid": "2027"}'  # a new key id; the key of before retires
"""

from __future__ import annotations

import json
import logging
import socketserver
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from local.auth.faults import Fault
from local.serving.other_sites import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.auth.faults import Faults

JWKS_PATH = "/keys/.well-known/jwks.json"
_JSON = {"Content-Type": "application/json"}
_CACHE_CONTROL = "public, max-age=900, stale-while-revalidate=60"  # cmd/auth/main.go:82-83

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trials:
    """What tests and developers may do to the service: faults, and ``rotate_keys(kid)``, which may raise ValueError."""

    faults: Faults
    rotate_keys: Callable[[str], None]


class JwksServer(ThreadingHTTPServer):
    """Serves the keys that are valid at the moment."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], keys: Callable[[], list[dict[str, str]]], trials: Trials | None = None
    ) -> None:
        """Bind the address; raises OSError when it is taken. With `trials` there are /faults and /rotations."""
        self.keys = keys
        self.trials = trials
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
        elif path == JWKS_PATH:
            self._answer(200, _json({"keys": self.server.keys()}), {**_JSON, "Cache-Control": _CACHE_CONTROL})
        elif path == "/health":
            health = {"status": "pass", "description": "auth service"}
            self._answer(200, _json(health), {"Content-Type": "application/health+json"})
        else:
            self._not_found()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trials = self._trials()
        if trials is None or self.path not in {"/faults", "/rotations"}:
            self._not_found()
            return
        try:
            if self.path == "/faults":
                trials.faults.add(Fault.from_json(body))
                made: object = trials.faults.as_json()
            else:
                trials.rotate_keys(_key_id(body))
                made = self.server.keys()
        except ValueError as error:
            self._answer(400, _json({"message": str(error)}), _JSON)
        else:
            self._answer(201, _json(made), _JSON)

    def do_DELETE(self) -> None:
        if faults := self._faults():
            faults.clear()
            self._answer(200, _json([]), _JSON)
        else:
            self._not_found()

    def _faults(self) -> Faults | None:
        trials = self._trials()
        return trials.faults if trials and self.path == "/faults" else None

    def _trials(self) -> Trials | None:
        """What may be tried, where it may be, by what is no page of another site; the keys are public anyway."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return self.server.trials if refusal(headers) is None else None

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


def _key_id(order: bytes) -> str:
    """The key id that a rotation asks for, "" for that of before. Raises ValueError for anything but such an order."""
    document = json.loads(order)
    kid = document.get("kid", "") if isinstance(document, dict) else None
    if not isinstance(kid, str):
        raise ValueError('expected {} or {"kid": "..."}')  # noqa: TRY004 - the caller knows bad text, not bad types
    return kid


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
