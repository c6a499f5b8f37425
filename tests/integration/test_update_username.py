"""PATCH /users/{id}/username (contract §1.5, §1.6.15; decisions 19)."""

import uuid
from typing import Any

import pytest

from tests.people import Person, administrator, event, log_in, person, row
from tests.service import Answer, Service


def update(service: Service, who: Person, user_id: str, body: Any) -> Answer:
    return service.call("update_username", body, token=who.token, user_id=user_id)


def fresh() -> str:
    return f"n{uuid.uuid4().hex[:12]}"


def test_a_new_name(service: Service) -> None:
    ada, name = person(service, profile_picture="p", private_metadata={"b": 1}), fresh()
    answer = update(service, ada, ada.id, {"username": name})
    assert answer.status == 200
    user = answer.json
    assert user["credentials"] == {"username": name}
    assert (user["updated_by"], user["private_metadata"]) == (ada.id, {"b": 1})
    assert "profile_picture" not in user
    assert log_in(service, name, ada.secret).status == 201
    assert log_in(service, ada.username, ada.secret).error == (401, "invalid_credentials")
    assert event(service, ada.id, "user.update_username") == {
        "id": ada.id,
        "token_type": "access token",
        "super_admin": False,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "username": name,
        "updated_at": user["updated_at"],
        "updated_by": ada.id,
    }


@pytest.mark.parametrize(
    ("username", "code", "message"),
    [
        ("", "missing_username", "missing username"),
        (None, "missing_username", "missing username"),
        ("x" * 1025, "invalid_name_size", "invalid name size"),
        ("x" * 33, "invalid_username", "invalid username"),
        ("a b", "invalid_username", "invalid username"),
        ("ada\n", "invalid_username", "invalid username"),
        ("<b>ada</b>", "invalid_username", "invalid username"),
        ("-ada", "invalid_username", "invalid username"),
        ("a--b", "invalid_username", "invalid username"),
        ("a__b", "invalid_username", "invalid username"),
        ("аda", "invalid_username", "invalid username"),
    ],
)
def test_the_rules_of_registration_hold(service: Service, username: Any, code: str, message: str) -> None:
    """Upstream has no such rules here (contract §9 S14)."""
    ada = person(service)
    answer = update(service, ada, ada.id, {"username": username})
    assert answer.error == (400, code)
    assert answer.json["message"] == message
    assert row(service, ada.id)["username"] == ada.username


def test_a_taken_name_in_any_case(service: Service) -> None:
    """Upstream answers 400, and accepts the name in other letter case."""
    ada, bob = person(service), person(service)
    for name in (ada.username, ada.username.upper()):
        answer = update(service, bob, bob.id, {"username": name})
        assert answer.error == (409, "username_taken")
        assert answer.json["message"] == "username not available"
    assert update(service, ada, ada.id, {"username": ada.username.upper()}).status == 200


def test_who_may(service: Service) -> None:
    ada, bob, boss = person(service), person(service), administrator(service)
    assert update(service, bob, ada.id, {"username": fresh()}).error == (403, "forbidden")
    assert update(service, boss, ada.id, {"username": fresh()}).json["updated_by"] == boss.id
    assert update(service, boss, str(uuid.uuid4()), {"username": fresh()}).error == (404, "not_found")
    assert update(service, boss, "", {"username": ""}).error == (400, "missing_id")
    service.execute("UPDATE users SET status = 1 WHERE id = %s", ada.id)
    assert update(service, boss, ada.id, {"username": fresh()}).error == (404, "not_found")


def test_an_external_account_may_have_another_name(service: Service) -> None:
    ada = person(service)
    service.execute("UPDATE users SET auth_provider = 'google' WHERE id = %s", ada.id)
    assert update(service, ada, ada.id, {"username": fresh()}).status == 200
