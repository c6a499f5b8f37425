"""S44: hand-picked bodies, headers and queries lead to a 4xx with a message and a code, never to a 5xx."""

import base64
import json
from typing import Any

import pytest

from tests.service import PASSWORD, Service, registration

MEGABYTE = 1024 * 1024
WITH_BODY = ["register_user", "issue_token", "request_password_reset"]

MALFORMED: dict[str, str] = {
    "nothing": "",
    "white space": " \n",
    "a brace": "{",
    "half an object": '{"email":"a@b"',
    "single quotes": "{'email':'a@b'}",
    "a list": "[]",
    "a list of objects": "[{}]",
    "a string": '"email"',
    "a number": "1",
    "a truth": "true",
    "a huge number": "9" * 10_000,
    "a huge exponent": '{"email":1e999999}',
    "NaN": '{"email":NaN}',
    "a number for a text": '{"email":5,"identity":5}',
    "an object for a text": '{"email":{},"identity":{}}',
    "a byte order mark": "\ufeff{}",
    "NUL": "\0",
    "NUL in a text": '{"email":"a\0b"}',
    "NUL escaped": '{"email":"a\\u0000@b","identity":"a\\u0000"}',
    "NUL in a key": '{"a\\u0000":1}',
    "half a surrogate pair": '{"email":"\\ud800@b","identity":"\\ud800"}',
    "the other half": '{"email":"\\udc00@b","identity":"\\udc00"}',
    "raw halves": "\ud800\udc00",
    "deep lists": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "deep and unclosed": "[" * 500_000,
    "form data": "email=a%40b&secret=x",
    "XML": "<?xml version='1.0'?><a/>",
}


@pytest.mark.parametrize("operation", WITH_BODY)
@pytest.mark.parametrize("kind", MALFORMED)
def test_s44_malformed_bodies(service: Service, operation: str, kind: str) -> None:
    assert service.call(operation, raw=MALFORMED[kind]).error == (400, "malformed_body")


@pytest.mark.parametrize("operation", WITH_BODY)
def test_s44_bodies_above_a_mebibyte(service: Service, operation: str) -> None:
    for raw in ('{"email":"' + "a" * MEGABYTE + '"}', " " * (MEGABYTE + 1), "[" * (MEGABYTE + 1)):
        assert service.call(operation, raw=raw).error == (413, "body_too_large")
    packed = base64.b64encode(b"a" * (MEGABYTE + 1)).decode()
    assert service.call(operation, raw=packed, isBase64Encoded=True).error == (413, "body_too_large")


@pytest.mark.parametrize("operation", WITH_BODY)
def test_s44_bodies_that_just_fit(service: Service, operation: str) -> None:
    filling = "x" * (MEGABYTE - 400)
    body = registration() | {"identity": "nobody", "secret": PASSWORD, "filling": filling}
    raw = json.dumps(body)
    assert len(raw) <= MEGABYTE
    assert service.call(operation, raw=raw).status in {201, 401}


@pytest.mark.parametrize("operation", WITH_BODY)
@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain; a=application/json",
        "application/json,application/json",
        "json",
        "\0",
        "é",
    ],
)
def test_s44_other_content_types(service: Service, operation: str, content_type: str) -> None:
    answer = service.call(operation, registration(), headers={"content-type": content_type})
    assert answer.error == (415, "unsupported_content_type")


@pytest.mark.parametrize("operation", WITH_BODY)
def test_s44_binary_bodies(service: Service, operation: str) -> None:
    for raw in (b"\xff\xfe\x00", b"\x89PNG\r\n\x1a\n", '{"email":"ü"}'.encode("latin-1"), b"\xed\xa0\x80"):
        packed = base64.b64encode(raw).decode()
        answer = service.call(operation, raw=packed, isBase64Encoded=True)
        assert answer.error == (400, "malformed_body")
        assert answer.json["message"] == "request body is not valid UTF-8"


@pytest.mark.parametrize("operation", WITH_BODY)
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("NUL in a key", "holds a NUL character, which cannot be stored"),
        ("half a surrogate pair", "holds half of a surrogate pair, which is no character"),
        ("deep lists", "is nested deeper than 100 levels"),
        ("a huge exponent", "holds a number beyond the range of a 64-bit float"),
        ("half an object", "is not a valid JSON, expecting a valid JSON"),
    ],
)
def test_s44_the_message_tells_what_is_wrong(service: Service, operation: str, kind: str, reason: str) -> None:
    assert service.call(operation, raw=MALFORMED[kind]).json["message"] == f"request body {reason}"


TEXTS = [
    "' OR 1=1 --",
    '"; DROP TABLE users; --',
    "%s %(id)s {0} $1",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "${jndi:ldap://x}",
    "\u202eevil",
    "a" * 100_000,
    "😀" * 10_000,
    "\x01\x1f\x7f",
    "\r\nSet-Cookie: a=b",
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_s44_hostile_texts_in_every_field(service: Service, text: str) -> None:
    for field in ("first_name", "last_name", "email", "profile_picture", "status", "role"):
        answer = service.call("register_user", registration(**{field: text}))
        assert answer.status in {201, 400}, field
        if field not in {"first_name", "last_name", "profile_picture"}:
            assert answer.status == 400, field
    for field in ("username", "secret"):
        assert service.call("register_user", registration(credentials={field: text})).status in {201, 400}
    whole = registration(tags=[text], metadata={text: {text: [text]}}, private_metadata={text: text})
    answer = service.call("register_user", whole)
    if len(text) > 64:
        assert answer.error in {(400, "metadata_too_large"), (400, "tag_too_long")}
    else:
        assert answer.status == 201
        assert answer.json["metadata"] == whole["metadata"]
    assert service.call("issue_token", {"identity": text, "secret": "x"}).error == (401, "invalid_credentials")
    assert service.call("request_password_reset", {"email": text}).status == (400 if len(text) > 254 else 201)


@pytest.mark.parametrize("operation", ["view_profile", "list_users"])
@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "..",
        "é",
        "\udc80",
        "\0",
        "x" * 100_000,
        "pat_",
        "null",
        "undefined",
        "[object Object]",
        "e30.e30.e30",
        "a b c",
    ],
)
def test_s44_hostile_tokens(service: Service, operation: str, token: str) -> None:
    assert service.call(operation, token=token).error == (401, "unauthenticated")


QUERIES = [
    "limit=x",
    "limit=-1",
    "limit=99999999999999999999999",
    "limit=1e1",
    "offset=-1",
    "offset=18446744073709551615",
    "status=%00",
    "status=%ff",
    "username=%00",
    "username=%ED%A0%80",
    "username=a&username=b",
    "metadata=%7B",
    "metadata=1",
    "metadata=%7B%22a%22%3A%22%5Cu0000%22%7D",
    "metadata=" + "%7B%22a%22%3A" * 500 + "1" + "%7D" * 500,
    "metadata=%7B%22a%22%3A1e999%7D",
    "tags=%00",
    "order=id%3B+DROP+TABLE+users",
    "order=secret",
    "dir=sideways",
    "created_from=yesterday",
    "created_to=9999-12-31T23%3A59%3A59-23%3A59",
    "only_total=maybe",
    "verified=%F0%9F%98%80",
    "role=root",
    "id=%00",
    "cursor=%00",
    "cursor=x",
    "cursor=" + "W1tb" * 1000,
    "cursor=WyJ1cGRhdGVkX2F0Iix0cnVlLCJub3QgYSB0aW1lIiwieCJd",
]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_s44_hostile_queries(service: Service, administrator_token: str, query: str) -> None:
    answer = service.call("list_users", token=administrator_token, query=query)
    assert answer.error[0] == 400


TAKEN: list[Any] = [
    "username=" + "a" * 5000,
    "username=%27+OR+1%3D1+--",
    "username=%25%25%5C_",
    "unknown=%00",
    "&&&===&;",
    "%zz=1",
    "tags=" + "%2B" * 2000,
    "tags=%2C",
    "offset=9223372036854775807",
    "created_from=0001-01-01T00%3A00%3A00Z&created_to=9999-12-31T23%3A59%3A59Z",
    "metadata=%7B%22a%22%3A12345678901234567890123456789%7D",
]


@pytest.mark.parametrize("query", TAKEN, ids=range(len(TAKEN)))
def test_s44_odd_queries_that_are_taken(service: Service, administrator_token: str, query: str) -> None:
    assert service.call("list_users", token=administrator_token, query=query).status == 200


@pytest.fixture(scope="module")
def administrator_token(shared_service: Service) -> str:
    with shared_service.configured():
        return shared_service.administrator()[1]
