"""PATCH /users/{id}/tags (contract §1.5, §1.6.13)."""

import uuid
from typing import Any

import pytest

from tests.people import Person, administrator, event, person, row
from tests.service import Answer, Service


def update(service: Service, who: Person, user_id: str, body: Any) -> Answer:
    return service.call("update_user_tags", body, token=who.token, user_id=user_id)


def test_tags_are_replaced(service: Service) -> None:
    ada = person(service, tags=["old"], profile_picture="p", metadata={"a": 1}, private_metadata={"b": 1})
    answer = update(service, ada, ada.id, {"tags": ["b", "a", "b"]})
    assert answer.status == 200
    user = answer.json
    assert user["tags"] == ["b", "a", "b"]
    assert (user["profile_picture"], user["private_metadata"], user["updated_by"]) == ("p", {"b": 1}, ada.id)
    assert service.call("view_profile", token=ada.token).text == answer.text
    payload = event(service, ada.id, "user.update_tags")
    assert payload == {
        "id": ada.id,
        "token_type": "access token",
        "super_admin": False,
        "status": "enabled",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "tags": ["b", "a", "b"],
        "username": ada.username,
        "email": ada.email,
        "metadata": {"a": 1},
        "created_at": user["created_at"],
        "updated_at": user["updated_at"],
        "updated_by": ada.id,
    }


def test_none_given_changes_the_time_only(service: Service) -> None:
    ada = person(service, tags=["x"])
    for body in ({}, {"tags": None}, {"other": 1}):
        user = update(service, ada, ada.id, body).json
        assert (user["tags"], user["updated_by"]) == (["x"], ada.id)


def test_an_empty_list_clears(service: Service) -> None:
    ada = person(service, tags=["x"])
    assert "tags" not in update(service, ada, ada.id, {"tags": []}).json
    assert row(service, ada.id)["tags"] == []


def test_a_whole_user_of_an_sdk(service: Service) -> None:
    ada = person(service, tags=["x"])
    whole = service.call("view_profile", token=ada.token).json | {"tags": ["y"], "first_name": "Eve", "role": "admin"}
    user = update(service, ada, ada.id, whole).json
    assert (user["tags"], user["first_name"], user["role"]) == (["y"], "Ada", "user")


@pytest.mark.parametrize("tags", ["x", [1], {"a": 1}, [["x"]]])
def test_what_is_no_list_of_tags(service: Service, tags: Any) -> None:
    ada = person(service)
    assert update(service, ada, ada.id, {"tags": tags}).error == (400, "malformed_body")


def test_who_may(service: Service) -> None:
    ada, bob, boss = person(service), person(service), administrator(service)
    assert update(service, bob, ada.id, {"tags": ["x"]}).error == (403, "forbidden")
    assert update(service, boss, ada.id, {"tags": ["x"]}).json["tags"] == ["x"]
    assert update(service, boss, str(uuid.uuid4()), {"tags": ["x"]}).error == (404, "not_found")
    service.execute("UPDATE users SET status = 1 WHERE id = %s", ada.id)
    assert update(service, boss, ada.id, {"tags": ["y"]}).error == (404, "not_found")


def test_an_external_account_may_have_tags(service: Service) -> None:
    ada = person(service)
    service.execute("UPDATE users SET auth_provider = 'google' WHERE id = %s", ada.id)
    assert update(service, ada, ada.id, {"tags": ["x"]}).json["tags"] == ["x"]
