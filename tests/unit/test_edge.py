"""The edge: request id, headers, error bodies, and what it never tells."""

import base64
import io
import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.service import lambda_context
from users.access import ANYBODY, SIGNED_IN
from users.edge.body import Body
from users.edge.http import MAX_BODY_BYTES, Reply, Request, operation
from users.errors import Conflict, Forbidden, NotFound, Unavailable

FROM = {"requestContext": {"http": {"sourceIp": "192.0.2.1"}}}
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Words(Body):
    word: str = ""


@operation("echo", access=ANYBODY)
def echo(request: Request) -> Reply:
    return Reply(200, {"word": request.body(Words).word, "query": request.query.text("q")})


def call(handler: Any = echo, **event: Any) -> dict[str, Any]:
    whole = {"headers": {"content-type": "application/json"}, "body": '{"word":"a"}', "rawQueryString": ""} | event
    answer: dict[str, Any] = handler(whole, lambda_context())
    return answer


def error(answer: dict[str, Any]) -> tuple[int, str]:
    body = json.loads(answer["body"])
    assert set(body) - {"details"} == {"message", "error"}
    assert ("details" in body) == (answer["statusCode"] in (400, 415))
    return answer["statusCode"], body["error"]


def test_an_answer() -> None:
    answer = call(rawQueryString="q=x")
    assert answer["statusCode"] == 200
    assert answer["body"] == '{"word":"a","query":"x"}\n'
    assert answer["headers"]["Content-Type"] == "application/json"
    assert answer["headers"]["X-Content-Type-Options"] == "nosniff"
    assert UUID4.fullmatch(answer["headers"]["X-Request-Id"])


def test_text_is_written_as_it_is() -> None:
    assert call(body='{"word":"é<&>\\u2028😀"}')["body"] == '{"word":"é<&>\u2028😀","query":""}\n'


@pytest.mark.parametrize("sent", ["abc", "A-b_c.d:e/f+g=", "x" * 128])
def test_the_request_id_is_echoed(sent: str) -> None:
    assert call(headers={"x-request-id": sent, "content-type": "application/json"})["headers"]["X-Request-Id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "a\nb", 'a"b', "é", "<script>", "a;b", "abc\n"])
def test_a_request_id_that_is_unfit_for_a_log_line_is_replaced(sent: str) -> None:
    answer = call(headers={"x-request-id": sent, "content-type": "application/json"})
    assert UUID4.fullmatch(answer["headers"]["X-Request-Id"])


def test_the_request_id_and_the_operation_are_in_each_log_line(log_output: io.StringIO) -> None:
    call(headers={"x-request-id": "my-id", "content-type": "application/json"})
    call(headers={"x-request-id": "another"})
    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    assert [(line["request_id"], line["operation"], line["message"]) for line in lines] == [
        ("my-id", "echo", "answered"),
        ("another", "echo", "refused"),
        ("another", "echo", "answered"),
    ]
    assert [line["status"] for line in lines] == [200, 415, 415]


@operation("tell_headers", access=ANYBODY)
def tell_headers(request: Request) -> Reply:
    return Reply(200, {"address": request.address, "headers": dict(request.headers)})


@pytest.mark.parametrize("spelling", [str.lower, str.title, str.upper])
def test_names_of_headers_count_in_any_letter_case(spelling: Callable[[str], str]) -> None:
    """API Gateway writes them in lower case, ``sam local start-api`` as the client did."""
    answer = call(headers={spelling("content-type"): "application/json", spelling("x-request-id"): "my-id"})
    assert (answer["statusCode"], answer["headers"]["X-Request-Id"]) == (200, "my-id")
    told = json.loads(call(tell_headers, headers={spelling("authorization"): "Bearer A"}, **FROM)["body"])
    assert told["headers"] == {"authorization": "Bearer A"}


@pytest.mark.parametrize("first", ["x-origin-verify", "X-Origin-Verify"])
def test_no_spelling_of_a_header_takes_the_place_of_another(first: str, configure: Callable[..., None]) -> None:
    """They are joined, as API Gateway joins what a client repeats, so neither of two proofs counts."""
    configure(MG_USERS_ORIGIN_SECRET="edge")
    second = first.swapcase()
    edge = {"CloudFront-Viewer-Address": "198.51.100.7:443"}
    alone = json.loads(call(tell_headers, headers={first: "edge", **edge}, **FROM)["body"])
    assert alone["address"] == "198.51.100.7"
    for sent in ({first: "edge", second: "x"}, {first: "x", second: "edge"}, {first: "edge", second: "edge"}):
        told = json.loads(call(tell_headers, headers={**sent, **edge}, **FROM)["body"])
        assert told["address"] == "192.0.2.1"
        assert told["headers"]["x-origin-verify"] == ",".join(sent.values())


@pytest.mark.parametrize("event", [{"headers": None}, {"headers": {}}])
def test_events_without_headers(event: dict[str, Any]) -> None:
    assert error(call(**event)) == (415, "unsupported_content_type")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=utf-8;a=b",
        "Application/JSON",
        " application/json ",
        "application/json;",
    ],
)
def test_content_types(content_type: str) -> None:
    assert call(headers={"content-type": content_type})["statusCode"] == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json-seq",
        "application/problem+json",
        "xapplication/json",
        "text/plain; a=application/json",
        "text/x, application/json",
        "application/json,application/json",
        "application/json; charset=utf-8,text/plain",
        "application/json text/plain",
        "application\xa0/json",
        "\xa0application/json",
    ],
)
def test_other_content_types(content_type: str) -> None:
    assert error(call(headers={"content-type": content_type})) == (415, "unsupported_content_type")


def test_the_content_type_is_looked_at_before_the_body() -> None:
    assert error(call(headers={}, body="{"))[0] == 415


def test_a_base64_body() -> None:
    body = base64.b64encode('{"word":"é"}'.encode()).decode()
    assert json.loads(call(body=body, isBase64Encoded=True)["body"])["word"] == "é"


@pytest.mark.parametrize("raw", [b"\xff", b"\xc3", b'{"word":"\xed\xa0\x80"}', '{"word":"a"}'.encode("utf-16")])
def test_bodies_that_are_not_utf_8(raw: bytes) -> None:
    body = base64.b64encode(raw).decode()
    assert error(call(body=body, isBase64Encoded=True)) == (400, "malformed_body")


@pytest.mark.parametrize(
    "event", [{"body": None}, {"body": ""}, {"body": "\ud800"}, {"body": "%", "isBase64Encoded": True}]
)
def test_bodies_that_are_none(event: dict[str, Any]) -> None:
    assert error(call(**event)) == (400, "malformed_body")


def test_a_body_may_have_a_mebibyte() -> None:
    fitting = '{"word":"' + "a" * (MAX_BODY_BYTES - 11) + '"}'
    assert len(fitting) == MAX_BODY_BYTES
    assert call(body=fitting)["statusCode"] == 200
    assert error(call(body=fitting + " ")) == (413, "body_too_large")
    wide = '{"word":"' + "é" * (MAX_BODY_BYTES // 2) + '"}'
    assert error(call(body=wide))[0] == 413


def raising(exception: Exception) -> Any:
    @operation("fails", access=ANYBODY)
    def fails(request: Request) -> Reply:
        raise exception

    return fails


@pytest.mark.parametrize(
    ("exception", "status", "code"),
    [
        (Forbidden(), 403, "forbidden"),
        (NotFound(), 404, "not_found"),
        (Conflict("email_taken", "email id already registered"), 409, "email_taken"),
        (Unavailable("database", "TimeoutError"), 503, "service_unavailable"),
    ],
)
def test_errors(exception: Exception, status: int, code: str) -> None:
    assert error(call(raising(exception))) == (status, code)


def test_unavailable_says_when_to_come_back() -> None:
    assert call(raising(Unavailable("database", "TimeoutError", retry_after=7)))["headers"]["Retry-After"] == "7"


def test_what_nobody_foresaw_is_500_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    canary = "canary-secret-4711"
    with caplog.at_level(logging.DEBUG):
        answer = call(raising(ValueError(canary)))
    assert error(answer) == (500, "internal")
    assert canary not in json.dumps(answer)
    (line,) = [record for record in caplog.records if record.message == "failed"]
    assert canary not in repr(vars(line))
    assert vars(line)["exception_type"] == "ValueError"
    assert any("test_edge.py" in place for place in vars(line)["place"])


@pytest.mark.parametrize("exception", [RecursionError(), MemoryError(), KeyError("x"), AssertionError()])
def test_every_exception_has_an_answer(exception: Exception) -> None:
    assert error(call(raising(exception))) == (500, "internal")


def test_a_protected_operation_needs_a_token() -> None:
    @operation("protected", access=SIGNED_IN)
    def protected(request: Request) -> Reply:
        raise AssertionError("not reached")

    assert error(call(protected)) == (401, "missing_token")


def test_an_operation_that_forgets_to_admit_its_caller_answers_500(monkeypatch: pytest.MonkeyPatch) -> None:
    from users.access import Session, TokenType
    from users.edge import http

    @operation("forgetful", access=SIGNED_IN)
    def forgetful(request: Request) -> Reply:
        return Reply(200, {"secret": "page"})

    session = Session(user_id="7", token_type=TokenType.ACCESS, issued_at=1)
    monkeypatch.setattr(http, "authenticate", lambda *_: session)
    answer = call(forgetful, headers={"authorization": "Bearer x"})
    assert error(answer) == (500, "internal")
    assert "page" not in answer["body"]
