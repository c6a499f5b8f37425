"""S4: neither the answer to a reset request nor its work reveals anything about the address."""

import uuid
from collections.abc import Callable

import psycopg
import pytest

from tests.service import Answer, Service
from users.repository import database


def addresses(service: Service) -> dict[str, str]:
    """Return addresses of every kind."""
    found = {"unknown": f"{uuid.uuid4()}@example.com", "no address": f"x{uuid.uuid4()}"}
    for state, change in (
        ("known", "role = 0"),
        ("disabled", "status = 1"),
        ("deleted", "status = 2"),
        ("administrator", "role = 1"),
    ):
        user = service.register()
        service.execute(f"UPDATE users SET {change} WHERE id = %s", user["id"])
        found[state] = user["email"]
    return found


def request(service: Service, email: str) -> Answer:
    return service.call("request_password_reset", {"email": email}, headers={"x-request-id": "same"})


def test_s04_same_answer(service: Service) -> None:
    answers = {kind: request(service, email) for kind, email in addresses(service).items()}
    assert {(answer.status, answer.text, tuple(answer.headers.items())) for answer in answers.values()} == {
        (201, '{"msg":"Email with reset link is sent"}\n', tuple(answers["known"].headers.items()))
    }


def test_s04_same_statements(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    real: Callable[..., list[dict[str, object]]] = database._run

    def note(connection: psycopg.Connection[dict[str, object]], statement: str, *rest: object) -> object:
        statements.append(statement)
        return real(connection, statement, *rest)

    monkeypatch.setattr(database, "_run", note)
    work: dict[str, list[str]] = {}
    for kind, email in addresses(service).items():
        statements.clear()
        request(service, email)
        work[kind] = list(statements)
    assert len(work["known"]) == 1
    assert all(done == work["known"] for done in work.values())


def test_s04_same_rows(own_service: Service) -> None:
    kinds = addresses(own_service)
    own_service.execute("DELETE FROM users_outbox")
    for email in kinds.values():
        request(own_service, email)
    rows = own_service.execute(
        "SELECT user_id, channel, name,"
        " (SELECT array_agg(key ORDER BY key) FROM jsonb_object_keys(payload) key) AS keys FROM users_outbox"
    )
    assert rows == [
        {"user_id": None, "channel": "reset_request", "name": "password_reset", "keys": ["email", "request_id"]}
    ] * len(kinds)
