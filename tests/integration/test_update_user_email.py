"""PATCH /users/{id}/email (contract §1.5, §1.6.16; decisions 19, 20)."""

import uuid
from typing import Any

import pytest

from tests.people import ZERO_TIME, Person, administrator, event, log_in, mails, person, row, token_of_kind
from tests.service import Answer, Service


def update(service: Service, who: Person, user_id: str, email: Any) -> Answer:
    return service.call("update_user_email", {"email": email}, token=who.token, user_id=user_id)


def fresh() -> str:
    return f"New.{uuid.uuid4().hex[:12]}@example.com"


def test_a_new_address_is_not_verified(service: Service) -> None:
    ada, email = person(service, profile_picture="p", private_metadata={"b": 1}), fresh()
    service.execute("DELETE FROM users_outbox WHERE user_id = %s", ada.id)
    answer = update(service, ada, ada.id, email)
    assert answer.status == 200
    user = answer.json
    assert (user["email"], user["verified_at"], user["updated_by"]) == (email, ZERO_TIME, ada.id)
    assert user["private_metadata"] == {"b": 1}
    assert "profile_picture" not in user
    assert row(service, ada.id)["verified_at"] is None
    assert log_in(service, email.lower(), ada.secret).status == 201
    assert log_in(service, ada.email, ada.secret).error == (401, "invalid_credentials")


def test_the_new_address_is_asked_and_the_old_one_is_told(service: Service) -> None:
    """Upstream sends neither mail."""
    ada, email = person(service), fresh()
    service.execute("DELETE FROM users_outbox WHERE user_id = %s", ada.id)
    update(service, ada, ada.id, email)
    assert sorted(mails(service, ada.id)) == [("email_changed", ada.email), ("verification", email)]


def test_the_event(service: Service) -> None:
    ada, email = person(service, tags=["x"], metadata={"a": 1}), fresh()
    user = update(service, ada, ada.id, email).json
    assert event(service, ada.id, "user.update_email") == {
        "id": ada.id,
        "token_type": "access token",
        "super_admin": False,
        "status": "enabled",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "tags": ["x"],
        "username": ada.username,
        "email": email,
        "metadata": {"a": 1},
        "created_at": user["created_at"],
        "updated_at": user["updated_at"],
        "updated_by": ada.id,
    }


@pytest.mark.parametrize(
    ("email", "status", "code"),
    [
        ("", 400, "invalid_email"),
        (None, 400, "invalid_email"),
        ("ada", 400, "invalid_email"),
        ("Ada <ada@example.com>", 400, "invalid_email"),
        ("a@b,c@d", 400, "invalid_email"),
        (f"{'x' * 251}@b.c", 400, "email_too_long"),
        (7, 400, "malformed_body"),
    ],
)
def test_what_is_no_address(service: Service, email: Any, status: int, code: str) -> None:
    ada = person(service)
    answer = update(service, ada, ada.id, email)
    assert answer.error == (status, code)
    if code == "invalid_email":
        assert answer.json["message"] == "invalid email"
    assert row(service, ada.id)["email"] == ada.email


def test_the_same_address(service: Service) -> None:
    ada = person(service)
    answer = update(service, ada, ada.id, ada.email)
    assert answer.error == (400, "same_email")
    assert answer.json["message"] == "new email is similar to the current email"
    assert row(service, ada.id)["verified_at"] is not None


def test_a_taken_address_in_any_case(service: Service) -> None:
    """Upstream answers 400, and accepts the address in other letter case."""
    ada, bob = person(service), person(service)
    for email in (ada.email, ada.email.upper()):
        answer = update(service, bob, bob.id, email)
        assert answer.error == (409, "email_taken")
        assert answer.json["message"] == "email id already registered"
    assert row(service, bob.id)["verified_at"] is not None


def test_before_the_old_address_is_verified(service: Service) -> None:
    ada = person(service, verified=False)
    assert update(service, ada, ada.id, fresh()).status == 200


def test_an_unverified_address_may_not_go_on(service: Service) -> None:
    """The verified claim of an older token does not count (contract §9 S13)."""
    ada = person(service)
    update(service, ada, ada.id, fresh())
    answer = service.call("view_user", token=ada.token, user_id=ada.id)
    assert answer.error == (401, "email_not_verified")
    assert answer.json["message"] == "email not verified"


def test_who_may(service: Service) -> None:
    ada, bob, boss = person(service), person(service), administrator(service)
    assert update(service, bob, ada.id, fresh()).error == (403, "forbidden")
    assert update(service, boss, ada.id, fresh()).json["updated_by"] == boss.id
    assert update(service, boss, str(uuid.uuid4()), fresh()).error == (404, "not_found")
    assert update(service, boss, "", "").error == (400, "missing_id")
    service.execute("UPDATE users SET status = 1 WHERE id = %s", ada.id)
    assert update(service, boss, ada.id, fresh()).error == (404, "not_found")


@pytest.mark.parametrize("kind", ["pat", "api_key", "refresh"])
def test_only_a_session_changes_it(service: Service, kind: str) -> None:
    ada = person(service)
    token = token_of_kind(service, ada.id, kind)
    answer = service.call("update_user_email", {"email": fresh()}, token=token, user_id=ada.id)
    assert answer.error == (401, "unauthenticated")


def test_an_external_account_keeps_its_address(service: Service) -> None:
    """Upstream answers 500 with an empty body."""
    ada = person(service)
    service.execute("UPDATE users SET auth_provider = 'google' WHERE id = %s", ada.id)
    assert update(service, ada, ada.id, fresh()).error == (403, "external_account")
