"""Answering CloudFormation, read by a real HTTP server."""

import json
from typing import Any
from urllib.error import HTTPError

import pytest

from operations.custom_resource import respond
from tests.http_server import http_server

REQUEST = {"StackId": "stack", "RequestId": "request", "LogicalResourceId": "Bootstrap", "RequestType": "Create"}


def test_success() -> None:
    with http_server() as server:
        respond({**REQUEST, "ResponseURL": f"{server.url}/answer?X-Amz-Signature=a%2Fb"}, "stream")
    (request,) = server.received
    assert (request.method, request.path) == ("PUT", "/answer?X-Amz-Signature=a%2Fb")
    assert request.headers["content-type"] == "", "the signature covers an empty one"
    assert json.loads(request.body) == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": "users-bootstrap",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Bootstrap",
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
    with http_server(status=403) as server, pytest.raises(HTTPError) as caught:
        respond({**REQUEST, "ResponseURL": server.url}, "stream")
    caught.value.close()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://example.com/x", "ftp://x/y"])
def test_only_https_is_answered(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        respond({**REQUEST, "ResponseURL": url}, "stream")
