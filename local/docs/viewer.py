"""GET /docs: a page for reading and trying the API, on this machine only.

The viewer is Swagger UI, whose files the package swagger-ui-py carries; nothing comes from elsewhere, and by its
Content-Security-Policy the page can load and call nothing but the API that serves it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from local.gateway.asgi import Response, send_response

if TYPE_CHECKING:
    from local.gateway.asgi import Application, Receive, Scope, Send

_OWN = Path(__file__).parent
_OWN_FILES = {"/docs": "page.html", "/docs/page.js": "page.js"}
_PACKAGED_FILES = {f"/docs/{name}": name for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
}
# Swagger UI sets style attributes and carries its icons as data URLs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = [
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
]


class WithDocs:
    """An ASGI application with the page at /docs in front of it."""

    def __init__(self, application: Application) -> None:
        """Pass everything but the page's own paths on to `application`."""
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        file = _file(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        if file is None:
            await self._application(scope, receive, send)
            return
        response = Response(200, file.read_bytes(), [("content-type", _TYPES[file.suffix]), *_HEADERS])
        await send_response(response, send, head=scope["method"] == "HEAD")


def _file(path: str) -> Path | None:
    if path in _OWN_FILES:
        return _OWN / _OWN_FILES[path]
    return _packaged_folder() / _PACKAGED_FILES[path] if path in _PACKAGED_FILES else None


def _packaged_folder() -> Path:
    """Where the package keeps Swagger UI; found, not imported: its code is for web frameworks."""
    package = find_spec("swagger_ui")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("swagger-ui-py is not installed")
    return Path(package.origin).parent / "static"
