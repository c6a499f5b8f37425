"""S79 The details of an error contain no value of the request, and their number is bounded."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.people import administrator, mail_token, person
from tests.service import Answer, Service

CANARY = "cAnArY"
MOST = 20


def check(answer: Answer) -> None:
    assert answer.status in (400, 415), answer.text
    assert answer.details
    assert CANARY.casefold() not in answer.text.casefold()
    assert len(answer.details) <= MOST


@pytest.mark.parametrize(
    "body",
    [
        {
            "first_name": f"\u202e{CANARY}",
            "last_name": CANARY * 300,
            "email": f"{CANARY}@",
            "credentials": {"username": f"--{CANARY}", "secret": CANARY},
            "profile_picture": f"javascript:{CANARY}",
            "metadata": {CANARY: "x" * 65536},
            "tags": [CANARY * 20],
            "status": CANARY,
            "role": CANARY,
        },
        {"first_name": {CANARY: CANARY}, "credentials": {"secret": [CANARY], CANARY: 1}, "tags": [{CANARY: 1}]},
        {"metadata": [CANARY], "created_at": CANARY, "status": {CANARY: 1}},
        [CANARY],
        CANARY,
    ],
)
def test_s79_a_registration(service: Service, body: Any) -> None:
    check(service.call("register_user", body))


@pytest.mark.parametrize("raw", [f'{{"{CANARY}', f'{{"a": {CANARY}}}', f'{{"{CANARY}\\u0000": 1}}', CANARY])
def test_s79_what_is_no_json(service: Service, raw: str) -> None:
    check(service.call("register_user", raw=raw))
    check(service.call("issue_token", raw=raw))


def test_s79_another_content_type(service: Service) -> None:
    check(service.call("issue_token", {"secret": CANARY}, headers={"content-type": f"text/{CANARY}"}))


def test_s79_passwords(service: Service) -> None:
    ada = person(service, credentials={"secret": f"{CANARY} horse 7 battery"})
    for new in (CANARY[:5], f"{CANARY} horse 7 battery", f"{ada.username}{CANARY}", CANARY * 200):
        body = {"old_secret": ada.secret, "new_secret": new}
        answer = service.call("update_user_secret", body, token=ada.token)
        check(answer)
        assert new not in answer.text
        token = mail_token(service, ada, "password_reset")
        reset = {"token": token, "password": new, "confirm_password": new}
        answer = service.call("reset_password", reset, method="PUT")
        check(answer)
        assert new not in answer.text
        assert token not in answer.text
    check(service.call("issue_token", {"identity": CANARY, "secret": CANARY * 200, "description": CANARY * 100}))


def test_s79_queries(service: Service) -> None:
    admin = administrator(service)
    names = ("status", "offset", "limit", "metadata", "order", "dir", "only_total", "created_from", "role", "verified")
    check(service.call("list_users", query="&".join(f"{name}={CANARY}" for name in names), token=admin.token))
    check(service.call("list_users", query=f"cursor={CANARY}", token=admin.token))
    repeated = "&".join(f"{name}={CANARY}" for name in names * 50)
    check(service.call("list_users", query=repeated, token=admin.token))
    check(service.call("search_users", query=f"username=a&dir={CANARY}&id={quote(chr(0) + CANARY)}", token=admin.token))


def test_s79_wrong_types_without_end(service: Service) -> None:
    tags: list[Any] = [1] * 200_000
    check(service.call("register_user", {"tags": tags, "permissions": tags[:100_000]}))
    ada = person(service)
    for operation in ("update_user", "update_user_tags"):
        answer = service.call(operation, {"tags": tags}, user_id=ada.id, token=ada.token)
        check(answer)
        assert json.loads(answer.text)["details"] == [
            {"field": "tags.0", "error": "malformed_body", "message": "tags.0 must be a string"}
        ]
