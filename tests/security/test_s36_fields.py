"""S36 Which fields other users see, and which fields a client cannot set."""

from typing import Any

import pytest

from tests.people import Person, administrator, person, row
from tests.service import Service

PRIVATE: dict[str, Any] = {"private_metadata": {"canary": "xprivatex"}}
NOT_FOR_OTHERS = {"email", "private_metadata", "tags", "profile_picture", "updated_by", "auth_provider"}


def test_s36_what_others_see(service: Service) -> None:
    ada, bob = person(service, tags=["x"], profile_picture="p", **PRIVATE), person(service)
    viewed = service.call("view_user", token=bob.token, user_id=ada.id)
    found = service.call("search_users", token=bob.token, query=f"username={ada.username}")
    for user in (viewed.json, found.json["users"][0]):
        assert not NOT_FOR_OTHERS & set(user)
        assert (user["status"], user["role"]) == ("enabled", "user")
    for answer in (viewed, found):
        assert "xprivatex" not in answer.text
        assert ada.email not in answer.text


def test_s36_lists_hold_no_private_metadata(service: Service) -> None:
    ada, boss = person(service, **PRIVATE), administrator(service)
    answer = service.call("list_users", token=boss.token, query=f"username={ada.username}")
    assert answer.json["total"] == 1
    assert "xprivatex" not in answer.text


@pytest.mark.parametrize(
    "operation",
    ["update_user", "update_user_tags", "update_profile_picture", "update_username", "update_user_email"],
)
@pytest.mark.parametrize("by", ["self", "administrator"])
def test_s36_a_change_sets_its_own_fields_only(service: Service, operation: str, by: str) -> None:
    ada = person(service)
    caller: Person = ada if by == "self" else administrator(service)
    before = row(service, ada.id)
    body = {
        "role": "admin",
        "status": "disabled",
        "verified_at": "2001-01-01T00:00:00Z",
        "created_at": "2001-01-01T00:00:00Z",
        "auth_provider": "google",
        "permissions": ["all"],
        "secret": "another 9 staple horse",
        "credentials": {"secret": "another 9 staple horse"},
        "tokens_valid_from": "2001-01-01T00:00:00Z",
        "username": f"x{ada.username[1:]}",
        "email": f"x{ada.email[1:]}",
    }
    assert service.call(operation, body, token=caller.token, user_id=ada.id).status == 200
    after = row(service, ada.id)
    own = {"update_username": {"username"}, "update_user_email": {"email", "verified_at"}}.get(operation, set())
    changed = {column for column in after if after[column] != before[column]}
    assert changed == own | {"updated_at", "updated_by"}
    if operation == "update_user_email":
        assert after["verified_at"] is None
