"""The HTTP API: an ASGI application that turns requests into invokes.

These answers come from API Gateway itself and not from a function. All have the form `{"message": ...}`:

- 400 Bad Request: the path is malformed.
- 404 Not Found: no route has this path and method, also for HEAD.
- 413 Request Entity Too Large: the body is above 10 MB, or the event above Lambda's 6 MB.
- 500 Internal Server Error: a function error, also its Timeout, or an answer that is no response.
- 503 Service Unavailable: the route's integration timeout passed. The function runs on.

This gateway also answers 408 Request Timeout when a body takes too long (READ_TIMEOUT).
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

from local.gateway.http.asgi import (
    BodyTooLarge,
    ClientGone,
    Receive,
    Response,
    Scope,
    Send,
    has_body,
    headers_of,
    read_body,
    send_response,
)
from local.gateway.http.client_address import Proxies
from local.gateway.http.cors import preflight, with_cors
from local.gateway.http.events import ApiIdentity, HttpRequest, MalformedPath, build_event
from local.gateway.http.responses import InvalidResponse, error_response, to_response
from local.gateway.http.routing import Match, RouteTable
from local.gateway.invocation import SYNCHRONOUS_PAYLOAD_LIMIT, Invocation

if TYPE_CHECKING:
    from local.gateway.lambda_service import LambdaService

_log = logging.getLogger("gateway.http")

# HTTP API quota: payload size.
BODY_LIMIT = 10 * 1024 * 1024

_REFUSALS: dict[type[Exception], tuple[int, str]] = {
    MalformedPath: (400, "Bad Request"),
    TimeoutError: (408, "Request Timeout"),
    BodyTooLarge: (413, "Request Entity Too Large"),
}


class HttpApi:
    """The ASGI application."""

    def __init__(self, service: LambdaService, read_timeout: float, proxies: Proxies | None = None) -> None:
        """Serve the routes of the service's stack. A request's body may take `read_timeout` seconds.

        `proxies` may name the client of a request. By default there are none.
        """
        self._service = service
        self._read_timeout = read_timeout
        self._proxies = proxies or Proxies()
        self._routes = RouteTable(service.stack.routes)
        self._cors = service.stack.cors
        self._api = ApiIdentity(service.stack.account_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = headers_of(scope)
        try:
            response = await self._answer(scope, headers, receive)
        except ClientGone:
            return
        if self._cors is not None and scope["method"] != "OPTIONS":
            response = with_cors(self._cors, headers, response)
        await send_response(response, send, head=scope["method"] == "HEAD")

    async def _answer(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Response:
        match = self._routes.match(scope["method"], _target_path(scope))
        if self._cors is not None and scope["method"] == "OPTIONS" and not _is_options_route(match):
            return preflight(self._cors, headers)
        if match is None:
            return error_response(404, "Not Found")
        try:
            event, payload = await self._event(scope, receive, match)
        except tuple(_REFUSALS) as error:
            return error_response(*_REFUSALS[type(error)])
        response = await self._invoke(match, Invocation(payload, event["headers"]["x-amzn-trace-id"]))
        response.headers.append(("apigw-requestid", event["requestContext"]["requestId"]))
        return response

    async def _event(self, scope: Scope, receive: Receive, match: Match) -> tuple[dict[str, Any], bytes]:
        """Return the event and its JSON. Raise the exceptions of _REFUSALS."""
        body = b""
        if has_body(scope):
            async with asyncio.timeout(self._read_timeout):
                body = await read_body(scope, receive, BODY_LIMIT)
        event = build_event(_request(scope, body, self._proxies), match, self._api)
        payload = json.dumps(event, ensure_ascii=False).encode()
        if len(payload) > SYNCHRONOUS_PAYLOAD_LIMIT:
            raise BodyTooLarge
        return event, payload

    async def _invoke(self, match: Match, invocation: Invocation) -> Response:
        route = match.route
        try:
            async with asyncio.timeout(route.timeout):
                outcome = await self._service.invoke(route.function, invocation)
        except TimeoutError:
            return error_response(503, "Service Unavailable")
        if not outcome.function_error:
            try:
                return to_response(outcome.payload)
            except InvalidResponse as error:
                _log.error("invalid response", extra={"function": route.function, "error": str(error)})
        return error_response(500, "Internal Server Error")


def _target_path(scope: Scope) -> str:
    """Return the path as it was sent, also of a target in absolute form (`GET http://host/path`)."""
    path = str(scope["raw_path"].decode("latin-1"))
    scheme, found, rest = path.partition("://")
    return "/" + rest.partition("/")[2] if found and "/" not in scheme else path


def _is_options_route(match: Match | None) -> bool:
    return match is not None and match.route.method == "OPTIONS"


def _request(scope: Scope, body: bytes, proxies: Proxies) -> HttpRequest:
    peer, _port = scope.get("client") or ("127.0.0.1", 0)
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    return HttpRequest(
        method=scope["method"],
        path=_target_path(scope),
        query=scope["query_string"].decode("latin-1"),
        http_version=scope["http_version"],
        headers=headers,
        client_ip=proxies.client_of(peer, headers),
        scheme=scope["scheme"],
        port=scope["server"][1],
        body=body,
    )
