"""POST /users/{id}/disable (contract §1.5, §4.5; decisions 16)."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.people import Person, administrator, event, is_alive, log_in, person, refresh, row
from tests.service import Answer, Service, eventually


def disable(service: Service, who: Person, user_id: str) -> Answer:
    return service.call("disable_user", token=who.token, user_id=user_id)


def test_oneself(service: Service) -> None:
    ada = person(service, profile_picture="p", private_metadata={"b": 1})
    answer = disable(service, ada, ada.id)
    assert answer.status == 200
    user = answer.json
    assert (user["status"], user["updated_by"], user["private_metadata"]) == ("disabled", ada.id, {"b": 1})
    assert "profile_picture" not in user
    assert row(service, ada.id)["disabled_at"] is not None
    assert not is_alive(service, ada.token)
    assert refresh(service, ada.refresh_token).status == 401
    assert log_in(service, ada.email, ada.secret).error == (401, "invalid_credentials")
    assert event(service, ada.id, "user.disable") == {
        "id": ada.id,
        "status": "disabled",
        "token_type": "access token",
        "super_admin": False,
        "updated_at": user["updated_at"],
        "updated_by": ada.id,
    }


def test_an_administrator_disables_anybody_once(service: Service) -> None:
    """Upstream answers 422 to a second request."""
    ada, boss = person(service), administrator(service)
    assert disable(service, boss, ada.id).json["updated_by"] == boss.id
    answer = disable(service, boss, ada.id)
    assert answer.error == (409, "status_already_assigned")
    assert answer.json["message"] == "status already assigned"


def test_a_deleted_account_stays_deleted(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    service.execute("UPDATE users SET status = 2 WHERE id = %s", ada.id)
    answer = disable(service, boss, ada.id)
    assert answer.error == (409, "account_deleted")
    assert answer.json["message"] == "the account is deleted"
    assert row(service, ada.id)["status"] == 2


@pytest.mark.parametrize("status", [1, 2], ids=["disabled", "deleted"])
def test_another_change_comes_first(own_service: Service, status: int) -> None:
    """The other change commits between this request's read and its statement."""
    ada, boss = person(own_service), administrator(own_service)
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as thread, psycopg.connect(own_service.conninfo) as other:
        other.execute(
            "UPDATE users SET status = %s, deleted_at = CASE %s WHEN 2 THEN now() END WHERE id = %s",
            [status, status, ada.id],
        )
        waiting = thread.submit(disable, own_service, boss, ada.id)
        eventually(lambda: own_service.execute(waits))
        other.commit()
        assert waiting.result().error == (409, "status_already_assigned")
    after = row(own_service, ada.id)
    assert (after["status"], after["deleted_at"] is None) == (status, status == 1)


def test_who_may(service: Service) -> None:
    ada, bob, boss = person(service), person(service), administrator(service)
    assert disable(service, bob, ada.id).error == (403, "forbidden")
    assert disable(service, boss, str(uuid.uuid4())).error == (404, "not_found")
    assert disable(service, boss, "").error == (400, "missing_id")
    assert is_alive(service, ada.token)


def test_the_last_enabled_administrator_stays(own_service: Service) -> None:
    boss = administrator(own_service)
    answer = disable(own_service, boss, boss.id)
    assert answer.error == (409, "last_administrator")
    assert is_alive(own_service, boss.token)
    administrator(own_service)
    assert disable(own_service, boss, boss.id).status == 200
