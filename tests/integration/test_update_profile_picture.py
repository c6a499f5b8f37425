"""PATCH /users/{id}/picture (contract §1.5, §1.6.14, §1.8)."""

from typing import Any

import pytest

from tests.people import Person, administrator, event, person, row
from tests.service import Answer, Service

MALFORMED = "request body is not a valid JSON, expecting a valid JSON"


def update(service: Service, who: Person, user_id: str, body: Any) -> Answer:
    return service.call("update_profile_picture", body, token=who.token, user_id=user_id)


def test_the_picture_is_replaced(service: Service) -> None:
    ada = person(service, tags=["x"], private_metadata={"b": 1})
    answer = update(service, ada, ada.id, {"profile_picture": "https://example.com/p.png"})
    assert answer.status == 200
    user = answer.json
    assert (user["profile_picture"], user["tags"], user["private_metadata"]) == (
        "https://example.com/p.png", ["x"], {"b": 1},
    )  # fmt: skip
    assert service.call("view_profile", token=ada.token).text == answer.text
    assert event(service, ada.id, "user.update_profile_picture") == {
        "id": ada.id,
        "token_type": "access token",
        "super_admin": False,
        "profile_picture": "https://example.com/p.png",
        "updated_at": user["updated_at"],
        "updated_by": ada.id,
    }


def test_none_given_stays_and_an_empty_one_goes(service: Service) -> None:
    ada = person(service, profile_picture="p")
    for body in ({}, {"profile_picture": None}):
        assert update(service, ada, ada.id, body).json["profile_picture"] == "p"
    assert "profile_picture" not in update(service, ada, ada.id, {"profile_picture": ""}).json
    assert row(service, ada.id)["profile_picture"] is None


@pytest.mark.parametrize(
    ("picture", "code", "message"),
    [
        (":foo", "invalid_profile_picture", "invalid profile picture url"),
        ("http://x y/", "invalid_profile_picture", "invalid profile picture url"),
        ("http://x/%zz", "invalid_profile_picture", "invalid profile picture url"),
        ("http://x:port/", "invalid_profile_picture", "invalid profile picture url"),
        ("a\nb", "invalid_profile_picture", "invalid profile picture url"),
        (5, "malformed_body", MALFORMED),
    ],
)
def test_what_is_no_picture(service: Service, picture: Any, code: str, message: str) -> None:
    ada = person(service)
    answer = update(service, ada, ada.id, {"profile_picture": picture})
    assert answer.error == (400, code)
    assert answer.json["message"] == message


def test_who_may(service: Service) -> None:
    ada, bob, boss = person(service), person(service), administrator(service)
    assert update(service, bob, ada.id, {"profile_picture": "p"}).error == (403, "forbidden")
    assert update(service, boss, ada.id, {"profile_picture": "p"}).json["updated_by"] == boss.id
    service.execute("UPDATE users SET status = 2 WHERE id = %s", ada.id)
    assert update(service, boss, ada.id, {"profile_picture": "q"}).error == (404, "not_found")


def test_an_external_account_keeps_its_picture(service: Service) -> None:
    """Upstream answers 500 with an empty body to any change."""
    ada = person(service, profile_picture="p")
    service.execute("UPDATE users SET auth_provider = 'google' WHERE id = %s", ada.id)
    assert update(service, ada, ada.id, {"profile_picture": "q"}).error == (403, "external_account")
    assert update(service, ada, ada.id, {"profile_picture": "p"}).status == 200
