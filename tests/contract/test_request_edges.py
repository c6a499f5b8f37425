"""Unusual HTTP requests through the gateway: invalid ids, blanks, repeated headers."""

from typing import Any

import httpx
import pytest

from tests.system import System

JSON = "application/json"


def send(system: System, method: str, path: str, *headers: tuple[str, str], content: str = "{}") -> tuple[int, Any]:
    """Send a request with these headers only, repeats included. Return status and JSON."""
    answer = httpx.request(method, system.url + path, headers=list(headers), content=content, trust_env=False)
    return answer.status_code, answer.json()


@pytest.fixture(scope="module")
def bearer(system: System) -> tuple[str, str]:
    return ("Authorization", f"Bearer {system.admin_token()}")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "/users//tags"), ("PATCH", "/users//role"), ("POST", "/users//disable"), ("GET", "/users//")],
)
def test_an_empty_id_is_no_path(system: System, bearer: tuple[str, str], method: str, path: str) -> None:
    """Upstream answers 400 ``missing entity id`` to the first three. A path variable of API Gateway is never empty."""
    assert send(system, method, path, bearer, ("Content-Type", JSON)) == (404, {"message": "Not Found"})


@pytest.mark.parametrize("user_id", ["%00", "a%00b", "%0A", "%E2%80%AE", "%7F"])
@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("PATCH", "/tags"), ("POST", "/disable"), ("DELETE", "")])
def test_an_id_that_cannot_be_anybodys(
    system: System, bearer: tuple[str, str], user_id: str, method: str, tail: str
) -> None:
    """Upstream answers 422 for NUL, because its database refuses it."""
    status, content = send(system, method, f"/users/{user_id}{tail}", bearer, ("Content-Type", JSON))
    assert (status, content.get("error")) == (404, "not_found")
    status, content = send(system, method, f"/users/{user_id}{tail}", ("Content-Type", JSON))
    assert (status, content.get("error")) == (401, "missing_token")


@pytest.mark.parametrize("blanks", [1, 2, 9])
def test_blanks_before_the_token(system: System, blanks: int) -> None:
    value = f"Bearer{' ' * blanks}{system.admin_token()}"
    assert send(system, "GET", "/users/profile", ("Authorization", value))[0] == 200


@pytest.mark.parametrize("separator", ["", "\t", " \t"])
def test_what_is_no_blank_before_the_token(system: System, separator: str) -> None:
    value = f"Bearer{separator}{system.admin_token()}"
    assert send(system, "GET", "/users/profile", ("Authorization", value))[0] == 401


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        ((JSON,), 201),
        (("application/json; charset=utf-8",), 201),
        (("Application/JSON",), 201),
        ((JSON, JSON), 415),
        ((JSON, "text/plain"), 415),
        (("text/plain", JSON), 415),
        (("application/json; charset=utf-8", "text/plain"), 415),
        (("text/plain; a=application/json",), 415),
        (("application/json-seq",), 415),
        ((), 415),
    ],
)
def test_content_types(system: System, kinds: tuple[str, ...], status: int) -> None:
    headers = [("Content-Type", kind) for kind in kinds]
    body = '{"email": "nobody@example.com"}'
    assert send(system, "POST", "/password/reset-request", *headers, content=body)[0] == status
