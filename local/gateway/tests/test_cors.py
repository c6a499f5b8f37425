"""CORS by the API's CorsConfiguration."""

from __future__ import annotations

import pytest

from local.gateway.http.asgi import Response
from local.gateway.http.cors import preflight, with_cors
from local.gateway.stack import Cors

_CORS = Cors(
    allow_origins=("https://app.example.com",),
    allow_methods=("GET", "POST"),
    allow_headers=("Authorization",),
    expose_headers=("X-Request-Id",),
    max_age=600,
    allow_credentials=True,
)
_ORIGIN = {"origin": "https://app.example.com"}
_ASKED = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


def test_preflight() -> None:
    """The answer has the headers that a browser needs."""
    response = preflight(_CORS, _ORIGIN | _ASKED)
    assert response.status == 204
    assert dict(response.headers) == {
        "access-control-allow-origin": "https://app.example.com",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET,POST",
        "access-control-allow-headers": "Authorization",
        "access-control-max-age": "600",
    }


@pytest.mark.parametrize(
    "headers",
    [
        _ASKED,
        _ASKED | {"origin": "https://evil.example.com"},
        _ORIGIN | {"access-control-request-method": "POST", "access-control-request-headers": "x-other"},
        _ORIGIN,
    ],
)
def test_refused_preflight(headers: dict[str, str]) -> None:
    """There are no CORS headers for an origin, method or header that is not allowed."""
    assert preflight(_CORS, headers) == Response(204)


def test_response() -> None:
    """The API's CORS headers replace the function's."""
    response = with_cors(_CORS, _ORIGIN, Response(200, b"x", [("Access-Control-Allow-Origin", "*"), ("x-a", "1")]))
    assert response.headers == [
        ("x-a", "1"),
        ("access-control-allow-origin", "https://app.example.com"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "X-Request-Id"),
    ]


def test_other_origin() -> None:
    """There are no headers for an origin that is not allowed. `*` and `https://*` allow more."""
    assert with_cors(_CORS, {"origin": "https://evil.example.com"}, Response(200)).headers == []
    anyone = with_cors(Cors(allow_origins=("*",)), {"origin": "http://a"}, Response(200))
    assert anyone.headers == [("access-control-allow-origin", "*")]
    secure = Cors(allow_origins=("https://*",))
    assert with_cors(secure, {"origin": "http://a"}, Response(200)).headers == []
    assert with_cors(secure, {"origin": "https://a"}, Response(200)).headers[0][1] == "https://a"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("http://localhost", True),
        ("http://[::1]:5173", True),
        ("https://localhost:3000", False),
        ("http://localhost.evil.example:3000", False),
        ("http://evil.example:3000", False),
        ("http://localhost:3000.evil.example", False),
        ("http://localhost:x", False),
        ("http://localhost:", False),
        ("null", False),
    ],
)
def test_any_port(origin: str, allowed: bool) -> None:
    """An origin with `*` for its port allows any port."""
    cors = Cors(allow_origins=("http://localhost:*", "http://[::1]:*"))
    added = [("access-control-allow-origin", origin)] if allowed else []
    assert with_cors(cors, {"origin": origin}, Response(200)).headers == added
