"""POST /users/{id}/enable (contract §1.5, §4.5; decisions 16, 17)."""

import uuid

import pytest

from tests.people import Person, administrator, event, is_alive, log_in, logged_in, person, row, token_of_kind
from tests.service import Answer, Service


def enable(service: Service, who: Person, user_id: str) -> Answer:
    return service.call("enable_user", token=who.token, user_id=user_id)


@pytest.mark.parametrize("operation", ["disable_user", "delete_user"])
def test_an_administrator_brings_an_account_back(service: Service, operation: str) -> None:
    ada, boss = person(service, profile_picture="p", private_metadata={"b": 1}), administrator(service)
    assert service.call(operation, token=boss.token, user_id=ada.id).status in {200, 204}
    assert log_in(service, ada.email, ada.secret).error == (401, "invalid_credentials")
    answer = enable(service, boss, ada.id)
    assert answer.status == 200
    user = answer.json
    assert (user["status"], user["updated_by"], user["private_metadata"]) == ("enabled", boss.id, {"b": 1})
    assert "profile_picture" not in user
    stored = row(service, ada.id)
    assert (stored["disabled_at"], stored["deleted_at"]) == (None, None)
    assert is_alive(service, logged_in(service, ada).token)
    assert not is_alive(service, ada.token)
    assert event(service, ada.id, "user.enable") == {
        "id": ada.id,
        "status": "enabled",
        "token_type": "access token",
        "super_admin": True,
        "updated_at": user["updated_at"],
        "updated_by": boss.id,
    }


def test_an_enabled_account_is_a_conflict(service: Service) -> None:
    """Upstream answers 422."""
    ada, boss = person(service), administrator(service)
    answer = enable(service, boss, ada.id)
    assert answer.error == (409, "status_already_assigned")
    assert answer.json["message"] == "status already assigned"
    assert is_alive(service, ada.token)


def test_an_account_whose_removal_has_begun(service: Service) -> None:
    """The refusal starts with the sweep's claim (decisions 18)."""
    ada, boss = person(service), administrator(service)
    service.execute("UPDATE users SET status = 2, purging_at = now() WHERE id = %s", ada.id)
    assert enable(service, boss, ada.id).status == 409
    assert row(service, ada.id)["status"] == 2


def test_only_administrators(service: Service) -> None:
    ada, bob = person(service), person(service)
    service.execute("UPDATE users SET status = 1 WHERE id = %s", ada.id)
    assert enable(service, bob, ada.id).error == (403, "not_administrator")
    assert enable(service, bob, bob.id).error == (403, "not_administrator")
    assert enable(service, ada, ada.id).error == (401, "unauthenticated")


def test_nobody_there(service: Service) -> None:
    boss = administrator(service)
    assert enable(service, boss, str(uuid.uuid4())).error == (404, "not_found")
    assert enable(service, boss, "").error == (400, "missing_id")


def test_a_program_of_an_administrator_may_not(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    service.execute("UPDATE users SET status = 1 WHERE id = %s", ada.id)
    token = token_of_kind(service, boss.id, "pat")
    assert service.call("enable_user", token=token, user_id=ada.id).error == (403, "access_token_required")
    assert row(service, ada.id)["status"] == 1
