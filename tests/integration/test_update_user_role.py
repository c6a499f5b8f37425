"""PATCH /users/{id}/role (contract §1.5, §1.6.17; decisions 15, 16, 28)."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from local.parts.auth import AuthServer
from tests.people import (
    Person,
    administrator,
    claims,
    deliver,
    event,
    is_alive,
    logged_in,
    person,
    records,
    refresh,
    relations,
    row,
    token_of_kind,
)
from tests.service import Answer, Service, eventually
from users.peers import spicedb

NOBODY_LISTENS = "9"  # the discard port


def update(service: Service, who: Person, user_id: str, role: Any) -> Answer:
    return service.call("update_user_role", {"role": role}, token=who.token, user_id=user_id)


def test_promotion(service: Service) -> None:
    ada, boss = person(service, profile_picture="p", private_metadata={"b": 1}), administrator(service)
    answer = update(service, boss, ada.id, "admin")
    assert answer.status == 200
    user = answer.json
    assert (user["role"], user["updated_by"], user["private_metadata"]) == ("admin", boss.id, {"b": 1})
    assert "profile_picture" not in user
    assert relations(service, ada.id) == {"member", "administrator"}
    again = logged_in(service, ada)
    assert claims(again.token)["role"] == 2
    assert service.call("list_users", token=again.token).status == 200


def test_demotion(service: Service) -> None:
    chief, boss = administrator(service), administrator(service)
    user = update(service, boss, chief.id, "user").json
    assert (user["role"], user["updated_by"]) == ("user", boss.id)
    assert relations(service, chief.id) == {"member"}
    again = logged_in(service, chief)
    assert claims(again.token)["role"] == 1
    assert service.call("list_users", token=again.token).error == (403, "not_administrator")


def test_the_event(service: Service) -> None:
    ada, boss = person(service, tags=["x"]), administrator(service)
    user = update(service, boss, ada.id, "admin").json
    payload = event(service, ada.id, "user.update_role")
    assert payload == {
        "id": ada.id,
        "token_type": "access token",
        "super_admin": True,
        "status": "enabled",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "tags": ["x"],
        "username": ada.username,
        "email": ada.email,
        "metadata": {},
        "created_at": user["created_at"],
        "updated_at": user["updated_at"],
        "updated_by": boss.id,
    }


@pytest.mark.parametrize("role", ["all", "", "root", "Admin", None])
def test_what_is_no_role(service: Service, role: Any) -> None:
    """Upstream stores 2 for ``all``, and demotes for an empty role (contract §9 B3, §9 B4)."""
    chief, boss = administrator(service), administrator(service)
    answer = update(service, boss, chief.id, role)
    assert answer.error == (400, "invalid_role")
    assert answer.json["message"] == "invalid client role"
    assert row(service, chief.id)["role"] == 1


def test_a_role_that_is_no_text(service: Service) -> None:
    boss = administrator(service)
    assert update(service, boss, boss.id, 1).error == (400, "malformed_body")


def test_only_administrators(service: Service) -> None:
    ada, bob = person(service), person(service)
    for target in (ada, bob):
        answer = update(service, bob, target.id, "admin")
        assert answer.error == (403, "not_administrator")
        assert answer.json["message"] == "not authorized to perform admin action"
    assert row(service, bob.id)["role"] == 0


@pytest.mark.parametrize("kind", ["pat", "api_key", "refresh"])
def test_only_in_a_session(service: Service, kind: str) -> None:
    boss = administrator(service)
    token = token_of_kind(service, boss.id, kind)
    answer = service.call("update_user_role", {"role": "user"}, token=token, user_id=boss.id)
    assert answer.error == (401, "unauthenticated")


def test_the_policy_store_has_a_say(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    spicedb.revoke_administration(boss.id)
    assert update(service, boss, ada.id, "admin").error == (403, "forbidden")
    assert row(service, ada.id)["role"] == 0


def test_nobody_there(service: Service) -> None:
    """Upstream answers 403 (contract §9 B6)."""
    boss = administrator(service)
    for role in ("admin", "user"):
        assert update(service, boss, str(uuid.uuid4()), role).error == (404, "not_found")


@pytest.mark.parametrize("status", [1, 2], ids=["disabled", "deleted"])
@pytest.mark.parametrize("role", ["admin", "user"])
def test_an_account_that_is_not_enabled_stays(service: Service, status: int, role: str) -> None:
    ada, boss = person(service), administrator(service)
    service.execute("UPDATE users SET status = %s WHERE id = %s", status, ada.id)
    assert update(service, boss, ada.id, role).error == (404, "not_found")
    assert relations(service, ada.id) == {"member"}


def test_the_role_that_one_has_already(service: Service) -> None:
    """Upstream answers 422 to a second promotion."""
    ada, boss = person(service), administrator(service)
    assert update(service, boss, ada.id, "user").status == 200
    for _ in range(2):
        assert update(service, boss, ada.id, "admin").json["role"] == "admin"
    assert relations(service, ada.id) == {"member", "administrator"}


@pytest.mark.parametrize("role", ["user", "admin"])
def test_the_role_that_one_has_already_ends_no_session(service: Service, role: str) -> None:
    ada, boss = administrator(service) if role == "admin" else person(service), administrator(service)
    before = row(service, ada.id)
    assert update(service, boss, ada.id, role).json["role"] == role
    assert row(service, ada.id)["tokens_valid_from"] == before["tokens_valid_from"]
    assert records(service, ada.id, "revocation") == []
    assert is_alive(service, ada.token)
    assert refresh(service, ada.refresh_token).status == 201


def test_a_change_that_comes_first_still_ends_the_sessions(own_service: Service) -> None:
    """This request reads a row that has the requested role already.

    Another change commits before its statement runs.
    """
    ada, boss = person(own_service), administrator(own_service)
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as thread, psycopg.connect(own_service.conninfo) as other:
        other.execute("UPDATE users SET role = 1 WHERE id = %s", [ada.id])
        waiting = thread.submit(update, own_service, boss, ada.id, "user")
        eventually(lambda: own_service.execute(waits))
        other.commit()
        assert waiting.result().json["role"] == "user"
    assert not is_alive(own_service, ada.token)


@pytest.mark.parametrize("role", ["user", "admin"])
def test_a_deletion_that_comes_first(own_service: Service, role: str) -> None:
    ada, boss = person(own_service), administrator(own_service)
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as thread, psycopg.connect(own_service.conninfo) as other:
        other.execute("UPDATE users SET status = 2, deleted_at = now() WHERE id = %s", [ada.id])
        waiting = thread.submit(update, own_service, boss, ada.id, role)
        eventually(lambda: own_service.execute(waits))
        other.commit()
        assert waiting.result().error == (404, "not_found")
    assert relations(own_service, ada.id) == {"member"}


def test_demoting_oneself(service: Service) -> None:
    administrator(service)
    boss = administrator(service)
    assert update(service, boss, boss.id, "user").json["role"] == "user"
    assert not is_alive(service, boss.token)


def test_the_last_administrator_stays(own_service: Service) -> None:
    boss = administrator(own_service)
    sleeping = administrator(own_service)
    own_service.execute("UPDATE users SET status = 1 WHERE id = %s", sleeping.id)
    answer = update(own_service, boss, boss.id, "user")
    assert answer.error == (409, "last_administrator")
    assert row(own_service, boss.id)["role"] == 1
    assert relations(own_service, boss.id) == {"member", "administrator"}
    assert is_alive(own_service, boss.token)


def test_demotion_without_the_policy_store_changes_nothing(service: Service) -> None:
    chief, boss = administrator(service), administrator(service)
    before = row(service, chief.id)
    with service.configured(MG_SPICEDB_PORT=NOBODY_LISTENS):
        answer = update(service, boss, chief.id, "user")
    assert answer.error == (503, "service_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert row(service, chief.id) == before
    assert relations(service, chief.id) == {"member", "administrator"}
    assert "user.update_role" not in [each["name"] for each in records(service, chief.id, "event")]
    assert is_alive(service, chief.token)


def test_promotion_without_the_policy_store_is_repaired_by_the_relay(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    with service.configured(MG_SPICEDB_PORT=NOBODY_LISTENS):
        assert update(service, boss, ada.id, "admin").json["role"] == "admin"
    assert relations(service, ada.id) == {"member"}
    assert len(records(service, ada.id, "relation")) == 1
    deliver("relation")
    assert relations(service, ada.id) == {"member", "administrator"}
    assert records(service, ada.id, "relation") == []


def test_promotion_without_the_policy_store_is_repaired_by_the_next_login(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    with service.configured(MG_SPICEDB_PORT=NOBODY_LISTENS):
        update(service, boss, ada.id, "admin")
    assert claims(logged_in(service, ada).token)["role"] == 2
    assert relations(service, ada.id) == {"member", "administrator"}


def test_without_a_policy_store_the_row_decides(service: Service) -> None:
    ada, boss = person(service), administrator(service)
    with service.configured(MG_SPICEDB_HOST=""):
        assert update(service, boss, ada.id, "admin").status == 200
    assert relations(service, ada.id) == {"member"}


def test_without_auth_nobody_is_an_administrator(service: Service, make_auth: Callable[..., AuthServer]) -> None:
    """Upstream answers 500 or 403. Here the answer shows that Auth is away, not that a right is missing."""
    auth = make_auth()
    asking = service.asking(auth)
    with asking.configured():
        ada, boss = person(asking), administrator(asking)
        auth.stop()
        assert update(asking, boss, ada.id, "admin").error == (503, "service_unavailable")
    assert row(service, ada.id)["role"] == 0
