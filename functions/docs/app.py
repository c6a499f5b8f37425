"""GET /docs: the page for reading and trying the API. GET / leads to it.

The viewer is Swagger UI. `local/docs/viewer.py` put its files beside this module. The Content-Security-Policy lets the
page load from and call only the API that serves it. The links are relative, so that the page works below the prefix of
a proxy.
"""

import gzip
import re
from pathlib import Path

from users.access import ANYBODY
from users.edge.http import Reply, Request, operation
from users.edge.static_file import static_file
from users.errors import NotFound

_FOLDER = Path(__file__).parent
_PAGE = "page.html"
# Names and types of the files. The large files of Swagger UI lie here compressed, because most browsers accept gzip.
_TYPES = {
    "page.html": "text/html; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_NEVER = re.compile(r"q=0(\.0*)?")
# Swagger UI sets style attributes and carries its icons as data URLs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)


@operation("docs", access=ANYBODY)
def lambda_handler(request: Request) -> Reply:
    """Answer the page, one of its files, or a redirect to the page. NotFound for any other file."""
    if request.event["rawPath"] == "/":
        return Reply(302, headers={"Location": "docs"})
    name = (request.event.get("pathParameters") or {}).get("file", _PAGE)
    if name not in _TYPES:
        raise NotFound
    return _file(request, name)


def _file(request: Request, name: str) -> Reply:
    headers = {"Content-Type": _TYPES[name], "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    compressed = _FOLDER / f"{name}.gz"
    if not compressed.exists():
        return static_file(request, (_FOLDER / name).read_bytes(), headers)
    content = compressed.read_bytes()
    headers["Vary"] = "Accept-Encoding"
    if not _takes_gzip(request.headers.get("accept-encoding", "")):
        return static_file(request, gzip.decompress(content), headers)
    return static_file(request, content, headers | {"Content-Encoding": "gzip"})


def _takes_gzip(accepted: str) -> bool:
    """Return whether the client accepts gzip: named, and not with a weight of 0 (RFC 9110, 12.5.3)."""
    codings = (coding.replace(" ", "").lower().partition(";") for coding in accepted.split(","))
    return any(name == "gzip" and not _NEVER.fullmatch(weight) for name, _, weight in codings)
