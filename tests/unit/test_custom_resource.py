"""The answer to CloudFormation, received by a real HTTP server."""

import json
import socket
from typing import Any

import pytest

from background.setup import custom_resource
from background.setup.custom_resource import respond
from tests.http_server import http_server

REQUEST = {"StackId": "stack", "RequestId": "request", "LogicalResourceId": "Bootstrap", "RequestType": "Create"}


def test_success() -> None:
    with http_server() as server:
        respond({**REQUEST, "ResponseURL": f"{server.url}/answer?X-Amz-Signature=a%2Fb"}, "stream")
    (request,) = server.received
    assert (request.method, request.path) == ("PUT", "/answer?X-Amz-Signature=a%2Fb")
    assert request.headers["content-type"] == "", "the signature covers an empty content type"
    assert json.loads(request.body) == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": "users-bootstrap",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Bootstrap",
        "Data": {},
    }


def test_failure_says_why_and_where_to_look_and_keeps_the_resource() -> None:
    with http_server() as server:
        event = {**REQUEST, "ResponseURL": server.url, "PhysicalResourceId": "earlier"}
        respond(event, "stream", "the database is away")
    document: dict[str, Any] = json.loads(server.received[0].body)
    assert document["Status"] == "FAILED"
    assert document["Reason"] == "the database is away (log stream stream)"
    assert document["PhysicalResourceId"] == "earlier"


def test_a_bucket_that_refuses_is_an_os_error() -> None:
    with http_server(status=403) as server, pytest.raises(OSError, match="answers 403"):
        respond({**REQUEST, "ResponseURL": server.url}, "stream")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://example.com/x", "ftp://x/y"])
def test_only_https_is_answered(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        respond({**REQUEST, "ResponseURL": url}, "stream")


def test_a_reason_fits_what_cloudformation_takes() -> None:
    with http_server() as server:
        respond({**REQUEST, "ResponseURL": server.url}, "stream", "x" * 10_000)
    assert len(server.received[0].body) < 4096


def test_a_bucket_that_stumbles_is_asked_again() -> None:
    with http_server(status=503) as server:

        def stumble() -> None:
            server.status = 503 if len(server.received) == 1 else 200

        server.before_answer = stumble
        respond({**REQUEST, "ResponseURL": server.url}, "stream")
    assert len(server.received) == 2


def test_a_bucket_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("background.setup.custom_resource._TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(OSError, match="timed out"):
        respond({**REQUEST, "ResponseURL": f"http://127.0.0.1:{silent.getsockname()[1]}/"}, "stream")


def test_all_tries_together_fit_into_the_reserve() -> None:
    assert custom_resource._TIMEOUT * custom_resource._TRIES < custom_resource.RESERVE
