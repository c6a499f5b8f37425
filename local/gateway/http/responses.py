"""HTTP responses made of functions' answers.

AWS documents the format ("Create AWS Lambda proxy integrations for HTTP APIs", Lambda function response for format
2.0): an object with statusCode is the response, and any other value is the body of a 200 `application/json`. AWS does
not document that a response without a content-type gets `text/plain;charset=UTF-8`, but many have observed it.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from local.gateway.http.asgi import Response

_DEFAULT_TYPE = "text/plain;charset=UTF-8"

# Headers that the server sets itself, and headers of the connection.
_DROPPED_HEADERS = {
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
    "upgrade",
}

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class InvalidResponse(ValueError):
    """A function's answer is no response: 500 Internal Server Error. The text is the reason, for the log."""


def error_response(status: int, message: str) -> Response:
    """Return a response of API Gateway itself."""
    return Response(status, json.dumps({"message": message}, separators=(",", ":")).encode(), [_JSON])


_JSON = ("content-type", "application/json")


def to_response(payload: bytes) -> Response:
    """Return the response for the JSON that a function returned. Raise InvalidResponse."""
    try:
        answer = json.loads(payload)
    except ValueError as error:
        raise InvalidResponse(f"the function's answer is not JSON: {error}") from error
    if isinstance(answer, dict) and "statusCode" in answer:
        return _proxy_response(answer)
    return Response(200, answer.encode() if isinstance(answer, str) else payload, [_JSON])


def _proxy_response(answer: dict[str, Any]) -> Response:
    headers = _headers(answer.get("headers") or {})
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", _DEFAULT_TYPE))
    cookies = answer.get("cookies") or []
    if not isinstance(cookies, list):
        raise InvalidResponse("cookies is not a list")
    headers += [("set-cookie", _header_value("set-cookie", cookie)) for cookie in cookies]
    return Response(_status(answer["statusCode"]), _body(answer), headers)


def _status(value: Any) -> int:
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 599:
        raise InvalidResponse(f"statusCode {value!r} is not an HTTP status")
    return value


def _headers(headers: Any) -> list[tuple[str, str]]:
    if not isinstance(headers, dict):
        raise InvalidResponse("headers is not an object")
    checked = []
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidResponse(f"header {name!r} has no valid name")
        if name.lower() not in _DROPPED_HEADERS:
            checked.append((name, _header_value(name, value)))
    return checked


def _header_value(name: str, value: Any) -> str:
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if not isinstance(value, str) or _CONTROL_CHARACTER.search(value):
        raise InvalidResponse(f"header {name} has no valid value")
    return value.strip()


def _body(answer: dict[str, Any]) -> bytes:
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise InvalidResponse("body is not a string")
    try:
        return base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()
    except ValueError as error:
        raise InvalidResponse(f"body cannot be decoded: {error}") from error
