"""GET /users/{id} (contract §1.5, §1.6.9; decisions 17, 21)."""

import uuid
from typing import Any

from tests.people import ZERO_TIME, Person, administrator, event, person, records
from tests.service import Answer, Service

WHOLE: dict[str, Any] = {
    "tags": ["x"],
    "metadata": {"city": "London"},
    "private_metadata": {"note": "secret"},
    "profile_picture": "https://example.com/p.png",
}


def view(service: Service, who: Person, user_id: str) -> Answer:
    return service.call("view_user", token=who.token, user_id=user_id)


def test_oneself_whole(service: Service) -> None:
    ada = person(service, **WHOLE)
    answer = view(service, ada, ada.id)
    assert answer.status == 200
    assert answer.text == service.call("view_profile", token=ada.token).text
    assert {key: answer.json[key] for key in WHOLE} == WHOLE
    assert (answer.json["email"], answer.json["role"]) == (ada.email, "user")


def test_another_one_as_a_card(service: Service) -> None:
    ada, bob = person(service, **WHOLE), person(service)
    assert view(service, bob, ada.id).text == (
        f'{{"id":"{ada.id}","first_name":"Ada","last_name":"Lovelace","metadata":{{"city":"London"}},'
        f'"status":"enabled","role":"user","credentials":{{"username":"{ada.username}"}},'
        f'"created_at":"{ZERO_TIME}","updated_at":"{ZERO_TIME}","verified_at":"{ZERO_TIME}"}}\n'
    )


def test_status_and_role_of_another_one_are_constants(service: Service) -> None:
    boss, bob = administrator(service), person(service)
    service.execute("UPDATE users SET status = 1 WHERE id = %s", boss.id)
    card = view(service, bob, boss.id).json
    assert (card["status"], card["role"]) == ("enabled", "user")


def test_an_administrator_sees_all(service: Service) -> None:
    ada, boss = person(service, **WHOLE), administrator(service)
    shown = view(service, boss, ada.id).json
    assert {key: shown[key] for key in WHOLE} == WHOLE
    service.execute("UPDATE users SET status = 1, auth_provider = 'google' WHERE id = %s", ada.id)
    shown = view(service, boss, ada.id).json
    assert (shown["status"], shown["auth_provider"]) == ("disabled", "google")


def test_a_deleted_account_is_shown_to_administrators_only(service: Service) -> None:
    """Upstream shows the account to every caller."""
    ada, bob, boss = person(service), person(service), administrator(service)
    service.execute("UPDATE users SET status = 2 WHERE id = %s", ada.id)
    assert view(service, bob, ada.id).error == (404, "not_found")
    assert view(service, boss, ada.id).json["status"] == "deleted"


def test_nobody_has_the_id(service: Service) -> None:
    bob, boss = person(service), administrator(service)
    for user_id in (str(uuid.uuid4()), "secret", "x" * 300, "a%2Fb", "é"):
        for viewer in (bob, boss):
            answer = view(service, viewer, user_id)
            assert answer.error == (404, "not_found")
            assert answer.json["message"] == "entity not found"


def test_an_unprintable_id_is_nobodys(service: Service) -> None:
    """Upstream answers 422 ``view entity failed`` to a NUL byte."""
    assert view(service, person(service), "a\0b").error == (404, "not_found")


def test_the_policy_store_has_a_say_on_administrators(service: Service) -> None:
    """A role that SpiceDB does not grant (any more) opens no other account (contract §2.4, stale admin token)."""
    ada, boss = person(service), administrator(service)
    from users.peers import spicedb

    spicedb.revoke_administration(boss.id)
    assert view(service, boss, ada.id).error == (403, "forbidden")
    assert view(service, boss, boss.id).status == 200


def test_no_event_unless_reads_are_told(service: Service) -> None:
    bob = person(service)
    before = len(records(service, bob.id, "event"))
    view(service, bob, bob.id)
    assert len(records(service, bob.id, "event")) == before


def test_the_event_of_oneself(service: Service) -> None:
    ada = person(service, **WHOLE)
    with service.configured(MG_USERS_READ_EVENTS="true"):
        shown = view(service, ada, ada.id).json
    assert event(service, ada.id, "user.view") == {
        "id": ada.id,
        "token_type": "access token",
        "super_admin": False,
        "status": "enabled",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "tags": ["x"],
        "email": ada.email,
        "username": ada.username,
        "metadata": {"city": "London"},
        "created_at": shown["created_at"],
    }


def test_the_event_of_a_card(service: Service) -> None:
    ada, bob = person(service, **WHOLE), person(service)
    with service.configured(MG_USERS_READ_EVENTS="true"):
        view(service, bob, ada.id)
    assert event(service, ada.id, "user.view") == {
        "id": ada.id,
        "token_type": "access token",
        "super_admin": False,
        "status": "enabled",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "username": ada.username,
        "metadata": {"city": "London"},
    }
