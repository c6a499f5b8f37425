"""DELETE /users/{id} (contract §4.5, §4.6; decisions 16, 17)."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.people import (
    Person,
    administrator,
    event,
    is_alive,
    log_in,
    mail_token,
    person,
    records,
    refresh,
    relations,
    row,
    token_of_kind,
)
from tests.service import Answer, Service, eventually, registration

NOBODY_LISTENS = "9"  # the discard port


def delete(service: Service, who: Person, user_id: str, query: str = "") -> Answer:
    return service.call("delete_user", token=who.token, user_id=user_id, query=query)


def is_gone(service: Service, who: Person) -> bool:
    return service.execute("SELECT id FROM users WHERE id = %s", who.id) == []


def traces(service: Service, who: Person) -> list[str]:
    """Return the tables in which any column still contains a value of the account."""
    found = []
    tables = service.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    for table in (each["relname"] for each in tables):
        texts = (each["text"] for each in service.execute(f"SELECT t::text AS text FROM {table} t"))
        values = (who.email, who.username, who.secret, "Somerville")
        found += [table for text in texts if any(value in text for value in values)]
    return found


def test_oneself_at_once(service: Service) -> None:
    ada = person(service)
    answer = delete(service, ada, ada.id)
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["Content-Type"] == "application/json"
    stored = row(service, ada.id)
    assert (stored["status"], stored["updated_by"]) == (2, ada.id)
    assert stored["deleted_at"] is not None
    assert not is_alive(service, ada.token)
    assert refresh(service, ada.refresh_token).status == 401
    assert log_in(service, ada.email, ada.secret).error == (401, "invalid_credentials")
    assert event(service, ada.id, "user.delete") == {"id": ada.id, "token_type": "access token", "super_admin": False}


def test_it_is_seen_by_administrators_who_ask_for_it(service: Service) -> None:
    ada, bob, boss = person(service), person(service), administrator(service)
    assert delete(service, boss, ada.id).status == 204
    assert service.call("view_user", token=bob.token, user_id=ada.id).status == 404
    assert service.call("view_user", token=boss.token, user_id=ada.id).json["status"] == "deleted"
    assert service.call("search_users", token=bob.token, query=f"username={ada.username}").json["total"] == 0
    for status, total in (("enabled", 0), ("deleted", 1), ("all", 1)):
        query = f"username={ada.username}&status={status}"
        assert service.call("list_users", token=boss.token, query=query).json["total"] == total


def test_its_names_stay_reserved(service: Service) -> None:
    ada = person(service)
    delete(service, ada, ada.id)
    assert service.call("register_user", registration(email=ada.email)).error == (409, "email_taken")
    body = registration(credentials={"username": ada.username})
    assert service.call("register_user", body).error == (409, "username_taken")


def test_once(service: Service) -> None:
    """Upstream answers 422 to a second request."""
    ada, boss = person(service), administrator(service)
    assert delete(service, boss, ada.id).status == 204
    answer = delete(service, boss, ada.id)
    assert answer.error == (409, "status_already_assigned")
    assert answer.json["message"] == "status already assigned"


def test_another_deletion_comes_first(own_service: Service) -> None:
    """The other deletion commits between this request's read and its statement."""
    ada, boss = person(own_service), administrator(own_service)
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as thread, psycopg.connect(own_service.conninfo) as other:
        other.execute("UPDATE users SET status = 2, deleted_at = now() WHERE id = %s", [ada.id])
        waiting = thread.submit(delete, own_service, boss, ada.id)
        eventually(lambda: own_service.execute(waits))
        other.commit()
        assert waiting.result().error == (409, "status_already_assigned")


def test_a_disabled_account(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    service.execute("UPDATE users SET status = 1, disabled_at = now() WHERE id = %s", ada.id)
    assert delete(service, boss, ada.id).status == 204
    assert row(service, ada.id)["status"] == 2


def test_who_may(service: Service) -> None:
    ada, bob, boss = person(service), person(service), administrator(service)
    assert delete(service, bob, ada.id).error == (403, "forbidden")
    assert delete(service, boss, str(uuid.uuid4())).error == (404, "not_found")
    assert delete(service, boss, "").error == (400, "missing_id")
    assert is_alive(service, ada.token)


@pytest.mark.parametrize("kind", ["pat", "api_key", "refresh"])
def test_only_in_a_session(service: Service, kind: str) -> None:
    ada = person(service)
    answer = service.call("delete_user", token=token_of_kind(service, ada.id, kind), user_id=ada.id)
    assert answer.error == (401, "unauthenticated")


def test_the_last_enabled_administrator_stays(own_service: Service) -> None:
    boss = administrator(own_service)
    for query in ("", "purge=true"):
        assert delete(own_service, boss, boss.id, query).error == (409, "last_administrator")
    assert relations(own_service, boss.id) == {"member", "administrator"}
    with own_service.configured(MG_USERS_DELETE_AFTER="0s"):
        assert delete(own_service, boss, boss.id).error == (409, "last_administrator")
    assert is_alive(own_service, boss.token)


@pytest.mark.parametrize("before", ["enabled", "deleted"])
def test_purge_leaves_nothing(service: Service, before: str) -> None:
    ada, boss = person(service, last_name="Somerville", metadata={"x": "Somerville"}), administrator(service)
    log_in(service, ada.email, "wrong")
    mail_token(service, ada, "verification")
    if before == "deleted":
        delete(service, boss, ada.id)
    assert delete(service, boss, ada.id, "purge=true").status == 204
    assert is_gone(service, ada)
    assert traces(service, ada) == []
    assert relations(service, ada.id) == set()
    assert not is_alive(service, ada.token)
    assert service.call("register_user", registration(email=ada.email)).status == 201


def test_purge_is_told(service: Service) -> None:
    """The event of the deletion comes first, even if there was no time to publish it."""
    ada, boss = person(service), administrator(service)
    delete(service, boss, ada.id, "purge=true")
    left = records(service, ada.id, "event")
    assert [each["name"] for each in left] == ["user.delete", "user.purge"]
    assert event(service, ada.id, "user.delete") == {"id": ada.id, "token_type": "access token", "super_admin": True}
    assert event(service, ada.id, "user.purge") == {"id": ada.id}


def test_purge_is_for_administrators(service: Service) -> None:
    ada = person(service)
    assert delete(service, ada, ada.id, "purge=true").error == (403, "not_administrator")
    assert is_alive(service, ada.token)
    assert delete(service, ada, ada.id, "purge=false").status == 204


def test_purge_is_a_boolean(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    for query in ("purge=yes", "purge=true&purge=true", "purge="):
        assert delete(service, boss, ada.id, query).error == (400, "invalid_query")
    assert is_alive(service, ada.token)


def test_without_a_grace_period_a_delete_is_final(service: Service) -> None:
    ada = person(service)
    with service.configured(MG_USERS_DELETE_AFTER="0s"):
        assert delete(service, ada, ada.id).status == 204
    assert is_gone(service, ada)
    assert relations(service, ada.id) == set()
    assert [each["name"] for each in records(service, ada.id, "event")] == ["user.delete", "user.purge"]


def test_purge_without_the_policy_store_can_be_tried_again(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    with service.configured(MG_SPICEDB_PORT=NOBODY_LISTENS):
        assert delete(service, boss, ada.id, "purge=true").error == (503, "service_unavailable")
    assert row(service, ada.id)["status"] == 2
    assert relations(service, ada.id) == {"member"}
    assert delete(service, boss, ada.id, "purge=true").status == 204
    assert is_gone(service, ada)


def test_a_purged_account_comes_back_for_nobody(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    delete(service, boss, ada.id, "purge=true")
    assert service.call("enable_user", token=boss.token, user_id=ada.id).error == (404, "not_found")
    assert delete(service, boss, ada.id, "purge=true").error == (404, "not_found")
