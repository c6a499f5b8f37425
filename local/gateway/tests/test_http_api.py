"""The HTTP API over a real connection."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from local.gateway.tests.conftest import StartGateway
    from local.gateway.tests.gateway_process import GatewayProcess

_MEGABYTE = 1024 * 1024


def _raw(gateway: GatewayProcess, request: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send bytes unchanged, as HTTP clients would not. Return status, headers and body of the answer."""
    with socket.create_connection(("127.0.0.1", gateway.http_port), timeout=30) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.headers, response.read()


def _event_of(gateway: GatewayProcess, request: bytes) -> dict[str, Any]:
    status, _, body = _raw(gateway, request)
    assert status == 200
    event: dict[str, Any] = json.loads(body)
    return event


def test_event(gateway: GatewayProcess) -> None:
    """The bytes of a request become an event in a function."""
    event = _event_of(
        gateway,
        b"GET /users/a%2Fb%20c?tag=x&tag=y%2Cz&empty= HTTP/1.1\r\nHost: api.example.com:9002\r\nUser-Agent: probe/1\r\n"
        b"Cookie: one=1; two=2\r\nX-Multi: a\r\nx-multi: b\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n",
    )
    assert event["version"] == "2.0"
    assert event["routeKey"] == event["requestContext"]["routeKey"] == "GET /users/{id}"
    assert event["pathParameters"] == {"id": "a/b c"}
    assert event["rawPath"] == "/users/a/b c"
    assert event["rawQueryString"] == "tag=x&tag=y%2Cz&empty="
    assert event["queryStringParameters"] == {"tag": "x,y,z", "empty": ""}
    assert event["cookies"] == ["one=1", "two=2"]
    assert event["headers"]["x-multi"] == "a,b"
    assert "body" not in event
    context = event["requestContext"]
    assert context["domainName"] == "api.example.com"
    assert context["domainPrefix"] == "api"
    assert context["stage"] == "$default"
    assert context["http"] == {
        "method": "GET",
        "path": "/users/a/b c",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "probe/1",
    }


def test_absolute_target(gateway: GatewayProcess) -> None:
    """A proxy may send the target in absolute form."""
    event = _event_of(gateway, b"GET http://localhost/users/profile HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert event["routeKey"] == "GET /users/profile"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("application/x-www-form-urlencoded", b"token=a%20b"), ("application/octet-stream", bytes(range(256)))],
)
def test_base64_body(http: httpx.Client, content_type: str, body: bytes) -> None:
    """Forms and binary bodies arrive in base64."""
    event = http.post("/users", content=body, headers={"content-type": content_type}).json()
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == body


def test_text_body(http: httpx.Client) -> None:
    """JSON arrives as text, chunked or not."""
    whole = http.post("/users", content=b'{"a": "\xc3\xa9"}', headers={"content-type": "application/json"}).json()
    chunked = http.post(
        "/users", content=iter([b'{"a": ', b'"\xc3\xa9"}']), headers={"content-type": "application/json"}
    ).json()
    assert whole["body"] == chunked["body"] == '{"a": "é"}'
    assert whole["isBase64Encoded"] is chunked["isBase64Encoded"] is False
    assert whole["routeKey"] == chunked["routeKey"] == "POST /users"
    assert chunked["headers"]["content-length"] == "11"
    assert "transfer-encoding" not in chunked["headers"]


def test_any_method(http: httpx.Client) -> None:
    """A route may have ANY and a greedy variable."""
    event = http.request("PROPFIND", "/any/a/b").json()
    assert event["routeKey"] == "ANY /any/{proxy+}"
    assert event["pathParameters"] == {"proxy": "a/b"}
    assert event["requestContext"]["http"]["method"] == "PROPFIND"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nowhere"), ("DELETE", "/users"), ("HEAD", "/users/profile"), ("OPTIONS", "/users"), ("GET", "/")],
)
def test_not_found(http: httpx.Client, method: str, path: str) -> None:
    """An unknown path and a wrong method get the same 404."""
    response = http.request(method, path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    if method != "HEAD":
        assert response.content == b'{"message":"Not Found"}'


def test_head(http: httpx.Client) -> None:
    """HEAD is a method like any other. Its answer has headers only."""
    response = http.head("/headed")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.content == b""


def test_malformed_path(gateway: GatewayProcess) -> None:
    """A per cent sign that is left after decoding is refused."""
    status, _, body = _raw(gateway, b"GET /users/100%25 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (status, body) == (400, b'{"message":"Bad Request"}')


def test_answer(http: httpx.Client) -> None:
    """The response has status, headers, cookies and binary body of the function's answer."""
    wanted = {
        "statusCode": 418,
        "headers": {"Content-Type": "image/png", "X-Own": "ü"},
        "cookies": ["a=1; HttpOnly", "b=2"],
        "body": base64.b64encode(b"\x89PNG").decode(),
        "isBase64Encoded": True,
    }
    response = http.post("/answer", content=json.dumps(wanted), headers={"content-type": "text/plain"})
    assert response.status_code == 418
    assert response.headers["content-type"] == "image/png"
    assert response.headers.raw.count((b"set-cookie", b"a=1; HttpOnly")) == 1
    assert response.headers.get_list("set-cookie") == ["a=1; HttpOnly", "b=2"]
    assert response.content == b"\x89PNG"
    assert response.headers["content-length"] == "4"
    assert response.headers["apigw-requestid"]


def test_answer_without_status(http: httpx.Client) -> None:
    """A function may return JSON without a status."""
    response = http.post("/answer", content=b'{"a": 1}', headers={"content-type": "text/plain"})
    assert (response.status_code, response.json()) == (200, {"a": 1})
    assert response.headers["content-type"] == "application/json"


def test_no_content(http: httpx.Client) -> None:
    """A 204 has neither body nor length."""
    response = http.post("/answer", content=b'{"statusCode": 204, "body": "x"}', headers={"content-type": "text/plain"})
    assert (response.status_code, response.content) == (204, b"")
    assert "content-length" not in response.headers


@pytest.mark.parametrize("path", ["/raises", "/unloadable", "/unserializable", "/large", "/hangs"])
def test_function_error(http: httpx.Client, path: str) -> None:
    """The client gets the same answer for every failure of a function."""
    response = http.get(path)
    assert (response.status_code, response.content) == (500, b'{"message":"Internal Server Error"}')


def test_invalid_answer(http: httpx.Client) -> None:
    """An answer that is no response becomes a 500."""
    response = http.post("/answer", content=b'{"statusCode": "x"}', headers={"content-type": "text/plain"})
    assert (response.status_code, response.content) == (500, b'{"message":"Internal Server Error"}')


@pytest.mark.parametrize("size", [7 * _MEGABYTE, 10 * _MEGABYTE + 1])
def test_too_large(http: httpx.Client, size: int) -> None:
    """Bodies above the limit of API Gateway, and of Lambda, get 413. The connection stays open."""
    response = http.post("/users", content=b"x" * size, headers={"content-type": "text/plain"})
    assert (response.status_code, response.content) == (413, b'{"message":"Request Entity Too Large"}')
    assert http.get("/users/profile").status_code == 200


def test_large(http: httpx.Client) -> None:
    """A body below the limit arrives and is returned."""
    body = "x" * (2 * _MEGABYTE)
    assert http.post("/users", content=body, headers={"content-type": "text/plain"}).json()["body"] == body


def test_slow_body(start_gateway: StartGateway) -> None:
    """The gateway waits for a body no longer than READ_TIMEOUT."""
    gateway = start_gateway(MG_USERS_HTTP_SERVER_READ_TIMEOUT="100ms")
    status, _, body = _raw(gateway, b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab")
    assert (status, body) == (408, b'{"message":"Request Timeout"}')


def test_catch_all_with_cors(start_gateway: StartGateway) -> None:
    """$default serves all requests except preflight requests, which the API answers itself."""
    origin = {"origin": "https://app.example.com"}
    with start_gateway(template="catch_all.yaml").client() as client:
        response = client.put("/any/path", headers=origin)
        assert response.json()["routeKey"] == "$default"
        assert response.json()["rawPath"] == "/any/path"
        assert "pathParameters" not in response.json()
        assert response.headers["access-control-allow-origin"] == origin["origin"]
        preflight = client.options("/any/path", headers=origin | {"access-control-request-method": "POST"})
        assert (preflight.status_code, preflight.content) == (204, b"")
        assert preflight.headers["access-control-allow-methods"] == "GET,POST"
