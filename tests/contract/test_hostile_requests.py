"""Requests that no schema describes: broken JSON, NUL bytes, halves of surrogates, huge bodies, wrong types (S44).

An administrator sends every request to an existing account, so that only the request itself can be refused.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis

from tests.contract.callers import Caller
from tests.contract.test_schemathesis import CHECKS, bounded

JSON = "application/json"
BODIES = {
    "nothing": b"",
    "half an object": b'{"email": ',
    "no JSON": b"email=a",
    "an array": b"[]",
    "a number": b"1e400",
    "NaN": b'{"metadata": {"a": NaN}, "tags": NaN}',
    "NUL": b'{"email": "a\\u0000b@example.com", "first_name": "a\\u0000", "username": "\\u0000", "tags": ["\\u0000"]}',
    "half a surrogate pair": b'{"email": "\\ud800@example.com", "first_name": "\\ud800", "tags": ["\\udc00"]}',
    "no UTF-8": b'{"first_name": "\xff\xfe", "email": "\xff"}',
    "nested without end": b'{"metadata":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "over 1 MiB": b'{"first_name": "' + b"a" * 1024 * 1024 + b'"}',
    "wrong types": b'{"email": {}, "first_name": 1, "username": [], "tags": "a", "role": 0, "token_id": {}, '
    b'"profile_picture": 1, "password": 1, "old_secret": [], "identity": 0, "credentials": ""}',
}
FILE = "page.js"  # a file of /docs
IDS = ["%00", "%ff", "%F0%9F%92%A9", "..%2F..", "a" * 4000, "%zz", "%25", "1' OR '1'='1", "%E2%80%AE"]
QUERIES = [
    "%00=%00",
    "status=%ff",
    "limit=%ed%a0%80",
    "offset=99999999999999999999",
    "metadata=" + "[" * 3000,
    "cursor=%00",
]
AUTHORIZATIONS = [
    "Bearer",
    "bearer a",
    "Basic YTpi",
    "Bearer é",
    "Bearer a.b.c",
    "Bearer pat_a_b",
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    f"Bearer {'a' * 8000}",
]


def operations(*, with_body: bool = False, with_id: bool = False) -> Iterator[Any]:
    for result in bounded.get_all_operations():
        operation = result.ok()
        takes_json = JSON in operation.definition.raw.get("requestBody", {}).get("content", {})
        if takes_json >= with_body and ("{id}" in operation.path) >= with_id:
            yield pytest.param(operation, id=operation.definition.raw["operationId"])


def send(operation: Any, caller: Caller, path: str, **request: Any) -> httpx.Response:
    """Send a request, and validate its answer against the document."""
    url = caller.system.url + path
    answer = httpx.request(operation.method.upper(), url, timeout=30, trust_env=False, **request)
    checked = schemathesis.Response.from_httpx(answer, verify=True)
    operation.Case(path_parameters={"id": "a", "file": FILE}).validate_response(checked, checks=CHECKS)
    return answer


@pytest.mark.long
@pytest.mark.parametrize("operation", list(operations(with_body=True)))
def test_a_body_that_cannot_be_taken(operation: Any, callers: tuple[Caller, Caller]) -> None:
    user, admin = callers
    user.stay()
    admin.stay()
    token = user.refresh_token if operation.path.endswith("/refresh") else admin.access_token
    path = operation.path.format(id=admin.id)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": JSON}
    ignores_body = operation.path.endswith("/refresh")
    for name, body in BODIES.items():
        status = send(operation, admin, path, content=body, headers=headers).status_code
        assert ignores_body or 400 <= status < 500, f"{name}: {status}"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml", ""):
        sent = headers | {"Content-Type": kind}
        assert send(operation, admin, path, content=b"{}", headers=sent).status_code == 415


@pytest.mark.long
@pytest.mark.parametrize("operation", list(operations(with_id=True)))
def test_an_id_that_is_nobodys(operation: Any, callers: tuple[Caller, Caller]) -> None:
    admin = callers[1]
    admin.stay()
    headers = {"Authorization": f"Bearer {admin.access_token}", "Content-Type": JSON}
    for user_id in IDS:
        path = operation.path.replace("{id}", user_id)
        answer = send(
            operation, admin, path, content=b'{"role": "user", "username": "a", "email": "a@b"}', headers=headers
        )
        assert answer.status_code in (400, 404), f"{user_id}: {answer.status_code}"


@pytest.mark.long
@pytest.mark.parametrize("operation", [each for each in operations() if each.values[0].method == "get"])
def test_a_query_that_cannot_be_read(operation: Any, callers: tuple[Caller, Caller]) -> None:
    admin = callers[1]
    admin.stay()
    headers = {"Authorization": f"Bearer {admin.access_token}"}
    for query in QUERIES:
        send(operation, admin, f"{operation.path.format(id=admin.id, file=FILE)}?{query}", headers=headers)


@pytest.mark.long
@pytest.mark.parametrize("operation", list(operations()))
def test_credentials_that_are_none(operation: Any, callers: tuple[Caller, Caller]) -> None:
    user = callers[0]
    needs_credentials = operation.definition.raw.get("security") in (None, [{"bearerToken": []}])
    for value in AUTHORIZATIONS:
        headers = [(b"Authorization", value.encode()), (b"Content-Type", JSON.encode())]
        status = send(operation, user, operation.path.format(id=user.id, file=FILE), headers=headers).status_code
        assert status == 401 or not needs_credentials, f"{value}: {status}"
