"""PATCH /users/{id} (contract §1.5, §1.6.12; decisions 7, 21)."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.people import Person, administrator, event, person, row
from tests.service import Answer, Service


def update(service: Service, who: Person, user_id: str, body: Any) -> Answer:
    return service.call("update_user", body, token=who.token, user_id=user_id)


def test_names_and_metadata(service: Service) -> None:
    ada = person(service, tags=["x"], metadata={"old": 1}, private_metadata={"p": 1}, profile_picture="p")
    before = datetime.now(UTC)
    answer = update(service, ada, ada.id, {"first_name": "Grace", "metadata": {"new": {"a": [1]}}})
    assert answer.status == 200
    user = answer.json
    assert list(user) == [
        "id", "first_name", "last_name", "tags", "metadata", "private_metadata", "status", "role", "profile_picture",
        "credentials", "email", "created_at", "updated_at", "updated_by", "verified_at",
    ]  # fmt: skip
    assert (user["first_name"], user["last_name"]) == ("Grace", "Lovelace")
    assert (user["metadata"], user["private_metadata"]) == ({"new": {"a": [1]}}, {"p": 1})
    assert user["updated_by"] == ada.id
    assert before <= datetime.fromisoformat(user["updated_at"]) <= datetime.now(UTC)
    assert service.call("view_profile", token=ada.token).text == answer.text


def test_an_administrator_changes_anybody(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    user = update(service, boss, ada.id, {"last_name": "Byron"}).json
    assert (user["last_name"], user["updated_by"]) == ("Byron", boss.id)


def test_what_is_absent_null_or_empty_stays(service: Service) -> None:
    ada = person(service, metadata={"a": 1}, tags=["x"], profile_picture="p")
    for body in ({}, None, {"first_name": None, "metadata": None, "tags": None}, {"first_name": "", "last_name": ""}):
        before = row(service, ada.id)
        answer = service.call(
            "update_user", token=ada.token, user_id=ada.id, body=body, raw="null" if body is None else None
        )
        assert answer.status == 200
        after = row(service, ada.id)
        assert after.pop("updated_at") > (before.pop("updated_at") or before["created_at"])
        assert after.pop("updated_by") == ada.id
        before.pop("updated_by")
        assert after == before


def test_an_empty_object_clears_metadata(service: Service) -> None:
    ada = person(service, metadata={"a": 1}, private_metadata={"b": 1})
    user = update(service, ada, ada.id, {"metadata": {}, "private_metadata": {}}).json
    assert "metadata" not in user
    assert "private_metadata" not in user
    assert row(service, ada.id)["metadata"] == {}


def test_tags_and_picture_as_documented(service: Service) -> None:
    """Upstream ignores both fields here."""
    ada = person(service)
    user = update(service, ada, ada.id, {"tags": ["a", "b"], "profile_picture": "https://example.com/x"}).json
    assert (user["tags"], user["profile_picture"]) == (["a", "b"], "https://example.com/x")
    user = update(service, ada, ada.id, {"tags": [], "profile_picture": ""}).json
    assert "tags" not in user
    assert "profile_picture" not in user
    assert row(service, ada.id)["profile_picture"] is None


@pytest.mark.parametrize("user_id", ["own", ""])
def test_a_whole_user_of_an_sdk_leaves_tags_and_picture(service: Service, user_id: str) -> None:
    ada = person(service, tags=["new"], profile_picture="new")
    stale = service.call("view_profile", token=ada.token).json
    stale |= {"id": ada.id if user_id else "", "first_name": "Grace", "tags": ["old"], "profile_picture": "old"}
    user = update(service, ada, ada.id, stale).json
    assert (user["first_name"], user["tags"], user["profile_picture"]) == ("Grace", ["new"], "new")


def test_other_keys_have_no_effect_and_are_no_error(service: Service) -> None:
    ada = person(service)
    before = row(service, ada.id)
    body = {
        "id": 7,
        "email": "other@example.com",
        "credentials": {"username": "other", "secret": "other"},
        "role": "admin",
        "status": 5,
        "verified_at": "never",
        "auth_provider": "google",
        "permissions": "all",
        "whatever": [],
    }
    assert update(service, ada, ada.id, body).status == 200
    after = row(service, ada.id)
    for column in ("updated_at", "updated_by"):
        before.pop(column), after.pop(column)
    assert after == before


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"first_name": "x" * 255}, "first_name_too_long", "first name is longer than 254 characters"),
        ({"last_name": "é" * 255}, "last_name_too_long", "last name is longer than 254 characters"),
        ({"profile_picture": ":foo"}, "invalid_profile_picture", "invalid profile picture url"),
        ({"first_name": 5}, "malformed_body", "request body is not a valid JSON, expecting a valid JSON"),
        ({"metadata": []}, "malformed_body", "request body is not a valid JSON, expecting a valid JSON"),
        ({"tags": "x"}, "malformed_body", "request body is not a valid JSON, expecting a valid JSON"),
        ([], "malformed_body", "request body is not a valid JSON, expecting a valid JSON"),
    ],
)
def test_what_is_refused(service: Service, body: Any, code: str, message: str) -> None:
    """Upstream answers 422 to a name that is too long."""
    ada = person(service)
    answer = update(service, ada, ada.id, body)
    assert answer.error == (400, code)
    assert answer.json["message"] == message
    assert row(service, ada.id)["updated_at"] is None


def test_names_as_long_as_the_column(service: Service) -> None:
    ada = person(service)
    assert update(service, ada, ada.id, {"first_name": "é" * 254}).json["first_name"] == "é" * 254


def test_somebody_elses_account(service: Service) -> None:
    """Upstream answers 404."""
    ada, bob = person(service), person(service)
    assert update(service, bob, ada.id, {"first_name": "Eve"}).error == (403, "forbidden")
    assert update(service, bob, str(uuid.uuid4()), {"first_name": "Eve"}).error == (403, "forbidden")
    assert row(service, ada.id)["first_name"] == "Ada"


def test_nobody_there(service: Service) -> None:
    assert update(service, administrator(service), str(uuid.uuid4()), {}).error == (404, "not_found")


@pytest.mark.parametrize("status", [1, 2], ids=["disabled", "deleted"])
def test_an_account_that_is_not_enabled_stays(service: Service, status: int) -> None:
    ada, boss = person(service), administrator(service)
    service.execute("UPDATE users SET status = %s WHERE id = %s", status, ada.id)
    assert update(service, boss, ada.id, {"first_name": "Eve"}).error == (404, "not_found")
    assert row(service, ada.id)["first_name"] == "Ada"


def test_what_is_checked_first(service: Service) -> None:
    ada = person(service)
    assert service.call("update_user", {}, user_id=ada.id).error == (401, "missing_token")
    assert service.call("update_user", user_id=ada.id, token=ada.token).error == (415, "unsupported_content_type")
    assert service.call("update_user", raw="{", user_id=ada.id, token=ada.token).error == (400, "malformed_body")
    answer = service.call("update_user", {}, user_id="", token=ada.token)
    assert answer.error == (400, "missing_id")
    assert answer.json["message"] == "missing entity id"


def test_an_external_account_keeps_its_names(service: Service) -> None:
    """Upstream answers 500 with an empty body (contract §9 B1). Unchanged values are no change."""
    ada = person(service, profile_picture="p")
    service.execute("UPDATE users SET auth_provider = 'google' WHERE id = %s", ada.id)
    for change in ({"first_name": "Grace"}, {"last_name": "Hopper"}, {"profile_picture": "q"}):
        answer = update(service, ada, ada.id, change)
        assert answer.error == (403, "external_account")
        assert answer.json["message"] == (
            "account details can only be updated through your authentication provider's settings"
        )
    same = {"first_name": "Ada", "last_name": "Lovelace", "profile_picture": "p", "metadata": {"a": 1}, "tags": ["x"]}
    user = update(service, ada, ada.id, same).json
    assert (user["metadata"], user["tags"]) == ({"a": 1}, ["x"])
    assert "auth_provider" not in user


def test_the_event(service: Service) -> None:
    ada = person(service, tags=["x"], private_metadata={"canary": "private"})
    body = {"first_name": "Grace", "metadata": {"a": 1}, "private_metadata": {"canary": "private"}}
    user = update(service, ada, ada.id, body).json
    assert event(service, ada.id, "user.update") == {
        "id": ada.id,
        "token_type": "access token",
        "super_admin": False,
        "status": "enabled",
        "first_name": "Grace",
        "last_name": "Lovelace",
        "tags": ["x"],
        "username": ada.username,
        "email": ada.email,
        "metadata": {"a": 1},
        "created_at": user["created_at"],
        "updated_at": user["updated_at"],
        "updated_by": ada.id,
    }


def test_the_event_of_an_administrator(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    update(service, boss, ada.id, {})
    payload = event(service, ada.id, "user.update")
    assert (payload["super_admin"], payload["updated_by"], payload["metadata"]) == (True, boss.id, {})
    assert "tags" not in payload
