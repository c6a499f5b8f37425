"""Requests as events."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from local.gateway.http.events import ApiIdentity, HttpRequest, MalformedPath, build_event, decode_path
from local.gateway.http.routing import Match
from local.gateway.stack import Route
from local.gateway.tests.gateway_process import FIXTURES

_DOCUMENTED: dict[str, Any] = json.loads((FIXTURES / "documented_event.json").read_text(encoding="utf-8"))

# Keys of features that are not configured here: mutual TLS, authorizers, stage variables.
_OPTIONAL = {"stageVariables"}
_OPTIONAL_IN_CONTEXT = {"authentication", "authorizer"}

# Keys that depend on the moment and the API, and not on the request.
_VARYING = {"apiId", "requestId", "time", "timeEpoch"}

_REQUEST = HttpRequest(
    method="POST",
    path="/my/path",
    query="parameter1=value1&parameter1=value2&parameter2=value",
    http_version="1.1",
    headers=[
        ("host", "id.execute-api.us-east-1.amazonaws.com"),
        ("user-agent", "agent"),
        ("content-type", "text/plain"),
        ("header1", "value1"),
        ("header2", "value1"),
        ("header2", "value2"),
        ("cookie", "cookie1; cookie2"),
    ],
    client_ip="192.0.2.1",
    scheme="https",
    port=443,
    body=b"Hello from Lambda",
)
_DEFAULT = Match(Route("ANY", "$default", "F"), {})
_API = ApiIdentity("123456789012")


def _event(request: HttpRequest = _REQUEST, match: Match = _DEFAULT) -> dict[str, Any]:
    return build_event(request, match, _API)


def _with_headers(*headers: tuple[str, str], body: bytes = b"") -> HttpRequest:
    return replace(_REQUEST, headers=list(headers), body=body)


def test_documented_example() -> None:
    """The request of AWS' example becomes AWS' event, except for values of the moment and the network."""
    event = _event(match=Match(_DEFAULT.route, {"parameter1": "value1"}))
    expected = {key: value for key, value in _DOCUMENTED.items() if key not in _OPTIONAL}
    assert event.keys() == expected.keys()
    for name in expected.keys() - {"headers", "requestContext"}:
        assert event[name] == expected[name], name
    assert event["headers"].items() >= expected["headers"].items()
    context, documented = event["requestContext"], expected["requestContext"]
    assert context.keys() == documented.keys() - _OPTIONAL_IN_CONTEXT
    for name in context.keys() - _VARYING:
        assert context[name] == documented[name], name


def test_of_the_moment() -> None:
    """Ids and times have the documented types and forms."""
    context = _event()["requestContext"]
    assert all(type(context[name]) is type(_DOCUMENTED["requestContext"][name]) for name in _VARYING)
    assert len(str(context["timeEpoch"])) == 13
    assert len(base64.b64decode(context["requestId"], validate=True)) == 11
    assert context["requestId"] != _event()["requestContext"]["requestId"]


def test_added_headers() -> None:
    """The event has the headers that API Gateway adds, as in the recorded events of AWS' documentation."""
    headers = _event()["headers"]
    assert headers["x-forwarded-for"] == "192.0.2.1"
    assert headers["x-forwarded-port"] == "443"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["content-length"] == "17"
    assert headers["x-amzn-trace-id"].startswith("Root=1-")


def test_absent_keys() -> None:
    """Keys without a value are left out."""
    event = _event(replace(_with_headers(("host", "localhost:9002")), query=""))
    assert not event.keys() & {"cookies", "queryStringParameters", "pathParameters", "body", "stageVariables"}
    assert event["rawQueryString"] == ""
    assert event["isBase64Encoded"] is False
    assert event["headers"]["content-length"] == "0"
    assert event["requestContext"]["domainName"] == "localhost"
    assert event["requestContext"]["http"]["userAgent"] == ""


def test_source_ip_is_not_what_a_client_claims() -> None:
    """X-Forwarded-For contains the client's own entry and the real address, sourceIp only the real address."""
    event = _event(_with_headers(("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "gopher")))
    assert event["requestContext"]["http"]["sourceIp"] == "192.0.2.1"
    assert event["headers"]["x-forwarded-for"] == "203.0.113.9, 192.0.2.1"
    assert event["headers"]["x-forwarded-proto"] == "https"


def test_cookies() -> None:
    """The list has an entry for each cookie of each header. There is no cookie header."""
    event = _event(_with_headers(("cookie", "a=1; b=2"), ("cookie", "c=3;"), ("connection", "close")))
    assert event["cookies"] == ["a=1", "b=2", "c=3"]
    assert not event["headers"].keys() & {"cookie", "connection"}


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("a=1&b=2&a=3", {"a": "1,3", "b": "2"}),
        ("redirect=https%3A%2F%2Fexample.com%2Fa&plus=a+b&encoded=a%2Bb", {
            "redirect": "https://example.com/a", "plus": "a b", "encoded": "a+b",
        }),
        ("empty=&bare", {"empty": "", "bare": ""}),
        ("tags=a%2Cb&tags=c", {"tags": "a,b,c"}),
        ("%C3%A9=%F0%9F%98%80", {"é": "😀"}),
        ("a=1;b=2", {"a": "1;b=2"}),
    ],
)  # fmt: skip
def test_query(query: str, parameters: dict[str, str]) -> None:
    """Parameters are decoded and repeated ones joined. rawQueryString is as it was sent."""
    event = _event(replace(_REQUEST, query=query))
    assert event["queryStringParameters"] == parameters
    assert event["rawQueryString"] == query


# As recorded on the service (see http/events.py).
@pytest.mark.parametrize(
    ("sent", "raw_path"),
    [
        ("/users/plain", "/users/plain"),
        ("/users/a%20b", "/users/a b"),
        ("/users/a%3Fb", "/users/a"),
        ("/users/a%23b", "/users/a#b"),
        ("/users/a%2Fb", "/users/a/b"),
        ("/users/%CE%BB", "/users/λ"),
        ("/users/a%252Fb", "/users/a/b"),
        ("/users/a%253Fb", "/users/a?b"),
        ("/users/a%2525b", "/users/a%b"),
    ],
)
def test_path(sent: str, raw_path: str) -> None:
    """An HTTP API decodes rawPath."""
    event = _event(replace(_REQUEST, path=sent))
    assert event["rawPath"] == event["requestContext"]["http"]["path"] == raw_path


@pytest.mark.parametrize("sent", ["/users/100%25", "/users/a%25zz", "/users/%", "/users/%4"])
def test_malformed_path(sent: str) -> None:
    """A malformed escape is refused, also one that appears at the first decoding."""
    with pytest.raises(MalformedPath):
        decode_path(sent)


# As recorded on the service (see http/events.py).
@pytest.mark.parametrize(
    ("content_type", "is_text"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON", True),
        ("application/javascript", True),
        ("application/xml", True),
        ("text/plain", True),
        ("text/csv;header=present", True),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
        ("application/octet-stream", False),
        ("application/vnd.api+json", False),
        ("image/png", False),
        ("", False),
    ],
)
def test_body(content_type: str, *, is_text: bool) -> None:
    """Text is passed as it is, and any other body in base64."""
    headers = [("content-type", content_type)] if content_type else []
    event = _event(_with_headers(*headers, body="grüße=1".encode()))
    assert event["isBase64Encoded"] is not is_text
    assert event["body"] == ("grüße=1" if is_text else base64.b64encode("grüße=1".encode()).decode())


def test_body_that_is_not_what_its_type_says() -> None:
    """Bytes that are no UTF-8 reach the function unchanged."""
    event = _event(_with_headers(("content-type", "application/json"), body=b'{"a": "\xff\x00"}'))
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b'{"a": "\xff\x00"}'
