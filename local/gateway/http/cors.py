"""CORS of an HTTP API with a CorsConfiguration (AWS, "Configure CORS for HTTP APIs").

API Gateway then answers preflight requests itself, unless a route for OPTIONS matches, and replaces the function's own
CORS headers.

Unlike API Gateway, this gateway accepts an origin with any port, such as `http://localhost:*`, because a development
server may listen on any port.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from local.gateway.http.asgi import Response

if TYPE_CHECKING:
    from local.gateway.stack import Cors

_PREFIX = "access-control-"
_PORT = re.compile(r":[0-9]+$")


def preflight(cors: Cors, headers: dict[str, str]) -> Response:
    """Return the answer to an OPTIONS request. It has no CORS headers if origin, method or a header is not allowed."""
    method = headers.get("access-control-request-method", "")
    wanted = [name.strip().lower() for name in headers.get("access-control-request-headers", "").split(",")]
    allowed = {name.lower() for name in cors.allow_headers}
    headers_allowed = "*" in allowed or all(name in allowed for name in wanted if name)
    if not _origin(cors, headers) or not {method, "*"} & set(cors.allow_methods) or not headers_allowed:
        return Response(204)
    answer = _origin_headers(cors, headers)
    answer.append((_PREFIX + "allow-methods", ",".join(cors.allow_methods)))
    if cors.allow_headers:
        answer.append((_PREFIX + "allow-headers", ",".join(cors.allow_headers)))
    if cors.max_age is not None:
        answer.append((_PREFIX + "max-age", str(cors.max_age)))
    return Response(204, headers=answer)


def with_cors(cors: Cors, headers: dict[str, str], response: Response) -> Response:
    """Return `response` with the API's CORS headers in place of the function's."""
    kept = [(name, value) for name, value in response.headers if not name.lower().startswith(_PREFIX)]
    added = _origin_headers(cors, headers) if _origin(cors, headers) else []
    if added and cors.expose_headers:
        added.append((_PREFIX + "expose-headers", ",".join(cors.expose_headers)))
    return Response(response.status, response.body, kept + added)


def _origin(cors: Cors, headers: dict[str, str]) -> str:
    """Return the value of access-control-allow-origin, or an empty one if there is no origin or it is not allowed."""
    origin = headers.get("origin", "")
    if not origin:
        return ""
    if "*" in cors.allow_origins:
        return "*"
    accepted = {origin, f"{origin.partition('://')[0]}://*", f"{_PORT.sub('', origin)}:*"}
    return "" if accepted.isdisjoint(cors.allow_origins) else origin


def _origin_headers(cors: Cors, headers: dict[str, str]) -> list[tuple[str, str]]:
    answer = [(_PREFIX + "allow-origin", _origin(cors, headers))]
    if cors.allow_credentials:
        answer.append((_PREFIX + "allow-credentials", "true"))
    return answer
