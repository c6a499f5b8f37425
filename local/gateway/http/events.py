"""Requests as HTTP API events, payload format 2.0.

AWS documents the format ("Create AWS Lambda proxy integrations for HTTP APIs") and that parameters are decoded ("Create
routes for HTTP APIs"). Others have recorded behaviour of the service that AWS does not document: how it decodes the
path (middleapi/standard-server#93, hotsock/voker#8, fastify/aws-lambda-fastify#169), and which bodies it passes as text
or base64 (ministackorg/ministack#766). The service leaves out keys without a value: body, cookies, pathParameters,
queryStringParameters, stageVariables.
"""

from __future__ import annotations

import base64
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from local.gateway.http.asgi import media_type

if TYPE_CHECKING:
    from local.gateway.http.routing import Match

# Bodies of these types, and of text/*, are passed as text. All others are passed in base64, also forms and bodies
# without a type.
_TEXT_TYPES = {"application/json", "application/javascript", "application/xml"}

# Headers of the connection, and cookies, which have a key of their own in the event.
_DROPPED_HEADERS = {
    "connection", "cookie", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip

_MALFORMED_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class MalformedPath(ValueError):
    """A path contains a malformed escape: 400 Bad Request."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it arrived: `path` and `query` are encoded, header names are in lower case and may repeat."""

    method: str
    path: str
    query: str
    http_version: str
    headers: list[tuple[str, str]]
    client_ip: str
    scheme: str
    port: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class ApiIdentity:
    """The ids of the API in every event."""

    account_id: str
    api_id: str = "local"


def decode_path(path: str) -> str:
    """Return the event's rawPath: decoded twice, and cut at a `?` of the first decoding, as recorded on the service.

    So `%2F` becomes a slash, and `%3F` ends the path. Raise MalformedPath for a path such as `100%25`, whose `%` has no
    digits after the first decoding.
    """
    if _MALFORMED_ESCAPE.search(path):
        raise MalformedPath(path)
    once = unquote(path).partition("?")[0]
    if _MALFORMED_ESCAPE.search(once):
        raise MalformedPath(path)
    return unquote(once)


def build_event(request: HttpRequest, match: Match, api: ApiIdentity) -> dict[str, Any]:
    """Return the event for a request that `match` serves. Raise MalformedPath."""
    path = decode_path(request.path)
    headers = _headers(request)
    cookies = [crumb.strip() for name, value in request.headers if name == "cookie" for crumb in value.split(";")]
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": match.route.key,
        "rawPath": path,
        "rawQueryString": request.query,
        "cookies": [cookie for cookie in cookies if cookie],
        "headers": headers,
        "queryStringParameters": _query_parameters(request.query),
        "requestContext": _context(request, match, api, path, headers),
        "pathParameters": match.path_parameters,
        **_body(request.body, headers.get("content-type", "")),
    }
    for name in ("cookies", "queryStringParameters", "pathParameters"):
        if not event[name]:
            del event[name]
    return event


def _headers(request: HttpRequest) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers:
        if name not in _DROPPED_HEADERS:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    headers["content-length"] = str(len(request.body))
    headers.setdefault("x-amzn-trace-id", f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()}")
    # The client's own X-Forwarded-For stays in front, and its real address comes last. sourceIp has the real one only.
    claimed = headers.get("x-forwarded-for")
    headers["x-forwarded-for"] = f"{claimed}, {request.client_ip}" if claimed else request.client_ip
    headers["x-forwarded-port"] = str(request.port)
    headers["x-forwarded-proto"] = request.scheme
    return headers


def _query_parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    return parameters


def _context(
    request: HttpRequest, match: Match, api: ApiIdentity, path: str, headers: dict[str, str]
) -> dict[str, Any]:
    now = time.time()
    domain = re.sub(r":\d+$", "", headers.get("host", "localhost"))
    return {
        "accountId": api.account_id,
        "apiId": api.api_id,
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "http": {
            "method": request.method,
            "path": path,
            "protocol": f"HTTP/{request.http_version}",
            "sourceIp": request.client_ip,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": new_request_id(),
        "routeKey": match.route.key,
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }


def _body(body: bytes, content_type: str) -> dict[str, Any]:
    if not body:
        return {"isBase64Encoded": False}
    kind = media_type(content_type)
    if kind.startswith("text/") or kind in _TEXT_TYPES:
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass  # the body is no text although its type is: base64 loses nothing
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def new_request_id() -> str:
    """Return an id in the form of API Gateway's: 16 characters of base64."""
    return base64.b64encode(os.urandom(11)).decode()
