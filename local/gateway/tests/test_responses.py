"""Functions' answers as HTTP responses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.gateway.http.responses import InvalidResponse, error_response, to_response

_JSON = [("content-type", "application/json")]
_TEXT = [("content-type", "text/plain;charset=UTF-8")]


@pytest.mark.parametrize(
    ("answer", "status", "headers", "body"),
    [
        # AWS, "Lambda function response for format 2.0": the two examples without statusCode, and similar ones
        ("Hello from Lambda!", 200, _JSON, b"Hello from Lambda!"),
        ({"message": "Hello from Lambda!"}, 200, _JSON, b'{"message": "Hello from Lambda!"}'),
        ([1, 2], 200, _JSON, b"[1, 2]"),
        (None, 200, _JSON, b"null"),
        ({}, 200, _JSON, b"{}"),
        ({"body": "no status"}, 200, _JSON, b'{"body": "no status"}'),
        # Answers with statusCode.
        (
            {"statusCode": 201, "headers": {"Content-Type": "application/json", "X-A": "1"}, "body": "{}"},
            201,
            [("Content-Type", "application/json"), ("X-A", "1")],
            b"{}",
        ),
        ({"statusCode": 200, "body": "text"}, 200, _TEXT, b"text"),
        ({"statusCode": "404"}, 404, _TEXT, b""),
        ({"statusCode": 204, "body": None, "headers": None}, 204, _TEXT, b""),
        ({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}, 200, _TEXT, b"\x00\xff"),
        ({"statusCode": 200, "body": "AP8=", "isBase64Encoded": False}, 200, _TEXT, b"AP8="),
        (
            {"statusCode": 200, "cookies": ["a=1; Secure", "b=2"]},
            200,
            [*_TEXT, ("set-cookie", "a=1; Secure"), ("set-cookie", "b=2")],
            b"",
        ),
        (
            {"statusCode": 200, "headers": {"Retry-After": 5, "X-Flag": True, "Content-Length": "99"}},
            200,
            [("Retry-After", "5"), ("X-Flag", "true"), *_TEXT],
            b"",
        ),
    ],
)
def test_answer(answer: Any, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    """Responses are as documented."""
    response = to_response(json.dumps(answer).encode())
    assert (response.status, response.headers, response.body) == (status, headers, body)


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": None},
        {"statusCode": "ok"},
        {"statusCode": True},
        {"statusCode": 99},
        {"statusCode": 101},
        {"statusCode": 600},
        {"statusCode": 200, "body": {"an": "object"}},
        {"statusCode": 200, "body": "no base64", "isBase64Encoded": True},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"x-a": ["1"]}},
        {"statusCode": 200, "headers": {"x-a": None}},
        {"statusCode": 200, "headers": {"x-a": "1\r\nx-b: 2"}},
        {"statusCode": 200, "headers": {"x a": "1"}},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "cookies": ["a=1\n"]},
    ],
)
def test_invalid_answer(answer: Any) -> None:
    """An answer that is no response is refused."""
    with pytest.raises(InvalidResponse):
        to_response(json.dumps(answer).encode())


def test_answer_that_is_not_json() -> None:
    """A body in base64 becomes bytes."""
    with pytest.raises(InvalidResponse):
        to_response(b"\xff")


def test_own_error() -> None:
    """Bodies of API Gateway itself have no spaces."""
    response = error_response(404, "Not Found")
    assert (response.status, response.headers, response.body) == (404, _JSON, b'{"message":"Not Found"}')
