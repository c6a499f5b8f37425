"""GET /openapi.json: the description of this API: openapi.yaml as the JSON that ``python -m local.docs`` wrote."""

import hashlib
from pathlib import Path

from users.access import ANYBODY
from users.edge import Reply, Request, operation

_DOCUMENT = Path(__file__).with_name("openapi.json").read_text(encoding="utf-8").rstrip("\n")
_HEADERS = {
    "ETag": f'"{hashlib.sha256(_DOCUMENT.encode()).hexdigest()[:32]}"',
    "Cache-Control": "public, max-age=300",
}


@operation("openapi", access=ANYBODY)
def lambda_handler(request: Request) -> Reply:
    """The document; 304 when the client's copy is this version of it."""
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if known & {_HEADERS["ETag"], "*"}:
        return Reply(304, headers=_HEADERS)
    return Reply(200, _DOCUMENT, _HEADERS)
