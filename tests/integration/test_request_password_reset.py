"""POST /password/reset-request (contract §1.6.22; differences.md#statuses)."""

import uuid
from typing import Any

import pytest

from tests.service import Service

ANSWER = '{"msg":"Email with reset link is sent"}\n'


def wishes(service: Service, email: str) -> list[dict[str, Any]]:
    return service.execute(
        "SELECT * FROM users_outbox WHERE channel = 'reset_request' AND payload ->> 'email' = %s", email
    )


def test_a_known_address(service: Service) -> None:
    user = service.register()
    answer = service.call(
        "request_password_reset",
        {"email": user["email"], "host": "http://evil.example"},
        headers={"x-request-id": "r1", "referer": "http://evil.example"},
    )
    assert (answer.status, answer.text) == (201, ANSWER)
    (row,) = wishes(service, user["email"])
    assert (row["user_id"], row["payload"]) == (None, {"email": user["email"], "request_id": "r1"})


@pytest.mark.parametrize("email", ["nobody-{}@example.com", "no address {}", "{}" + "x" * 222])
def test_an_unknown_address_or_none_at_all(service: Service, email: str) -> None:
    email = email.format(uuid.uuid4().hex)
    answer = service.call("request_password_reset", {"email": email})
    assert (answer.status, answer.text) == (201, ANSWER)
    assert len(wishes(service, email)) == 1


@pytest.mark.parametrize("body", [{}, {"email": ""}, {"email": None}, None])
def test_no_address(service: Service, body: Any) -> None:
    answer = service.call("request_password_reset", body, raw=None if body is not None else "null")
    assert (answer.status, answer.refusal) == (400, {"message": "missing email", "error": "missing_email"})


def test_an_address_that_no_column_holds(service: Service) -> None:
    assert service.call("request_password_reset", {"email": "x" * 255}).error == (400, "email_too_long")


def test_another_content_type(service: Service) -> None:
    answer = service.call("request_password_reset", {"email": "a@b"}, headers={"content-type": "text/plain"})
    assert (answer.status, answer.refusal) == (
        415,
        {"message": "unsupported content type", "error": "unsupported_content_type"},
    )
