"""S61 An account's address gets a notice of each change, with its time and, for own changes, the origin."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from background.accounts import administration
from background.mail.templates import render
from local.parts.mail import MailServer
from tests.deliveries import Mail, mails_to
from tests.people import NEW_PASSWORD, Person, administrator, log_in, mail_token, person, records, row
from tests.service import Service, registration
from users.models import Role, Status

HERE = "192.0.2.17"


def notices(service: Service, user_id: str) -> dict[str, dict[str, Any]]:
    """Return the payloads of an account's unsent notices, by their names."""
    found = [each for each in records(service, user_id, "mail") if each["name"] != "verification"]
    assert len({each["name"] for each in found}) == len(found)
    return {each["name"]: each["payload"] for each in found}


def is_recent(text: str) -> bool:
    return timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(text) < timedelta(minutes=1)


def only_notice(service: Service, who: Person, name: str, **details: str) -> dict[str, Any]:
    """Return the payload of an account's only notice, which must be recent and for its address."""
    found = notices(service, who.id)
    assert set(found) == {name}
    payload = found[name]
    assert payload["email"] == who.email
    assert is_recent(payload["at"])
    assert {key: payload.get(key) for key in details} == details
    return payload


def received(service: Service, server: MailServer, who: Person) -> Mail:
    service.deliver()
    return mails_to(server.url, who.email)[-1]


# ------------------------------------------------------------------------------------------------ by the account


def test_s61_a_username(service: Service, mail_server: MailServer) -> None:
    ada, name = person(service), f"n{uuid.uuid4().hex[:12]}"
    body = {"username": name}
    assert service.call("update_username", body, token=ada.token, user_id=ada.id, address=HERE).status == 200
    only_notice(service, ada, "username_changed", username=name, address=HERE)
    mail = received(service, mail_server, ada)
    text = " ".join(mail.text.split())
    assert mail.subject == "Your username was changed"
    assert f"is now {name}." in text
    assert re.search(rf"This happened on \d\d \w+ \d{{4}}, \d\d:\d\d UTC, from the network address {HERE}\.", text)


def test_s61_a_username_that_stays(service: Service) -> None:
    ada = person(service)
    body = {"username": ada.username}
    assert service.call("update_username", body, token=ada.token, user_id=ada.id).status == 200
    assert notices(service, ada.id) == {}


def test_s61_a_disabled_account(service: Service, mail_server: MailServer) -> None:
    ada = person(service, metadata={"locale": "de"})
    assert service.call("disable_user", token=ada.token, user_id=ada.id, address=HERE).status == 200
    only_notice(service, ada, "account_disabled", address=HERE)
    mail = received(service, mail_server, ada)
    assert mail.subject == "Ihr Konto wurde gesperrt"
    assert f"von der Netzwerkadresse {HERE} aus." in " ".join(mail.text.split())


def test_s61_a_deleted_account_and_until_when_it_can_be_restored(service: Service, mail_server: MailServer) -> None:
    ada = person(service)
    with service.configured(MG_USERS_DELETE_AFTER="48h"):
        assert service.call("delete_user", token=ada.token, user_id=ada.id, address=HERE).status == 204
    payload = only_notice(service, ada, "account_deleted", address=HERE)
    removal = datetime.fromisoformat(payload["removal_at"])
    assert removal - datetime.fromisoformat(payload["at"]) == timedelta(hours=48)
    mail = received(service, mail_server, ada)
    assert f"restore the account until {removal:%d %B %Y, %H:%M} UTC." in " ".join(mail.text.split())


@pytest.mark.parametrize("way", ["purge", "no grace period"])
def test_s61_what_is_removed_at_once_is_told_to_nobody(service: Service, way: str) -> None:
    """No row of the account stays, not even a waiting mail."""
    ada, boss = person(service), administrator(service)
    query = "purge=true" if way == "purge" else ""
    with service.configured(MG_USERS_DELETE_AFTER="0s" if way == "no grace period" else "720h"):
        assert service.call("delete_user", token=boss.token, user_id=ada.id, query=query).status == 204
    assert notices(service, ada.id) == {}


@pytest.mark.parametrize("way", ["change", "reset"])
def test_s61_a_password(service: Service, mail_server: MailServer, way: str) -> None:
    ada = person(service)
    if way == "change":
        body = {"old_secret": ada.secret, "new_secret": NEW_PASSWORD}
        assert service.call("update_user_secret", body, token=ada.token, address=HERE).status == 200
    else:
        body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
        token = mail_token(service, ada, "password_reset")
        assert service.call("reset_password", body, token=token, address=HERE).status == 201
    only_notice(service, ada, "password_changed", address=HERE)
    text = " ".join(received(service, mail_server, ada).text.split())
    assert f"from the network address {HERE}." in text
    assert "If it was not you, somebody else may have access to your account" in text


def test_s61_an_address(service: Service, mail_server: MailServer) -> None:
    ada = person(service)
    body = {"email": f"new-{ada.email}"}
    assert service.call("update_user_email", body, token=ada.token, user_id=ada.id, address=HERE).status == 200
    only_notice(service, ada, "email_changed", address=HERE)
    text = " ".join(received(service, mail_server, ada).text.split())
    assert f"from the network address {HERE}." in text
    assert "If it was not you, somebody else may have access to your account" in text


# ------------------------------------------------------------------------------------------------ by an administrator


@pytest.mark.parametrize(
    ("operation", "body", "name"),
    [
        ("update_username", {"username": "new"}, "username_changed"),
        ("update_user_email", {"email": "new"}, "email_changed"),
        ("update_user_role", {"role": "admin"}, "administrator_added"),
        ("disable_user", None, "account_disabled"),
        ("delete_user", None, "account_deleted"),
    ],
)
def test_s61_nobody_learns_the_address_of_an_administrator(
    service: Service, operation: str, body: dict[str, str] | None, name: str
) -> None:
    ada, boss = person(service), administrator(service)
    if body and "new" in body.values():
        mark = f"n{uuid.uuid4().hex[:12]}"
        body = {key: mark if key == "username" else f"{mark}@example.com" for key in body}
    answer = service.call(operation, body, token=boss.token, user_id=ada.id, address=HERE)
    assert answer.status in {200, 204}
    assert "address" not in only_notice(service, ada, name)
    waiting = service.execute("SELECT payload::text AS text FROM users_outbox")
    assert not [each for each in waiting if HERE in each["text"]]


def test_s61_an_enabled_account(service: Service, mail_server: MailServer) -> None:
    ada, boss = person(service), administrator(service)
    service.execute("UPDATE users SET status = 1 WHERE id = %s", ada.id)
    assert service.call("enable_user", token=boss.token, user_id=ada.id, address=HERE).status == 200
    assert "address" not in only_notice(service, ada, "account_enabled")
    assert received(service, mail_server, ada).subject == "Your account was enabled"


def test_s61_roles(service: Service, mail_server: MailServer) -> None:
    ada, boss = person(service), administrator(service)

    def change(role: str) -> None:
        answer = service.call("update_user_role", {"role": role}, token=boss.token, user_id=ada.id)
        assert answer.status == 200

    change("admin")
    assert received(service, mail_server, ada).subject == "You are an administrator now"
    change("admin")
    assert notices(service, ada.id) == {}
    change("user")
    assert received(service, mail_server, ada).subject == "You are no longer an administrator"


def test_s61_a_change_that_is_refused_is_told_to_nobody(own_service: Service) -> None:
    boss, ada, bob = administrator(own_service), person(own_service), person(own_service)
    calls: list[tuple[str, Any, Person, Person]] = [
        ("update_user_role", {"role": "user"}, boss, boss),
        ("disable_user", None, boss, boss),
        ("delete_user", None, boss, boss),
        ("update_username", {"username": bob.username}, ada, ada),
        ("disable_user", None, bob, ada),
        ("enable_user", None, boss, ada),
    ]
    for operation, body, caller, target in calls:
        answer = own_service.call(operation, body, token=caller.token, user_id=target.id)
        assert answer.status in {403, 409}
    for who in (boss, ada, bob):
        assert notices(own_service, who.id) == {}


# ------------------------------------------------------------------------------------------------ new administrators


@pytest.mark.parametrize("way", ["promotion", "registration", "enabled again", "command line"])
def test_s61_every_administrator_is_told_of_a_new_one(own_service: Service, mail_server: MailServer, way: str) -> None:
    boss, other, disabled, unverified = (administrator(own_service) for _ in range(4))
    own_service.execute("UPDATE users SET status = 1 WHERE id = %s", disabled.id)
    own_service.execute("UPDATE users SET verified_at = NULL WHERE id = %s", unverified.id)
    ada, bystander = person(own_service), person(own_service)
    username, added = ada.username, ada.id
    if way == "promotion":
        own_service.call("update_user_role", {"role": "admin"}, token=boss.token, user_id=ada.id, address=HERE)
    elif way == "registration":
        answer = own_service.call("register_user", registration(role="admin"), token=boss.token, address=HERE)
        username, added = answer.json["credentials"]["username"], answer.json["id"]
    elif way == "enabled again":
        own_service.execute("UPDATE users SET status = 1, role = 1 WHERE id = %s", ada.id)
        own_service.call("enable_user", token=boss.token, user_id=ada.id, address=HERE)
    else:
        administration.set_role(administration.find(ada.id).user, Role.ADMIN)
    assert row(own_service, added)["role"] == Role.ADMIN
    for who in (boss, other):
        payload = only_notice(own_service, who, "new_administrator", username=username)
        assert "address" not in payload
    for user_id in (disabled.id, unverified.id, bystander.id, added):
        assert "new_administrator" not in notices(own_service, user_id)
    mail = received(own_service, mail_server, other)
    assert mail.subject == "A new administrator"
    assert f"The account {username} is an administrator of Magistrala now" in " ".join(mail.text.split())


def test_s61_who_is_removed_is_in_nobodys_mail(own_service: Service) -> None:
    boss, other, ada = administrator(own_service), administrator(own_service), person(own_service)
    own_service.call("update_user_role", {"role": "admin"}, token=boss.token, user_id=ada.id)
    assert "new_administrator" in notices(own_service, other.id)
    assert own_service.call("delete_user", token=boss.token, user_id=ada.id, query="purge=true").status == 204
    assert notices(own_service, other.id) == {}
    waiting = own_service.execute("SELECT payload::text AS text FROM users_outbox")
    assert not [each for each in waiting if ada.username in each["text"]]


@pytest.mark.parametrize("change", ["role", "status"])
def test_s61_who_is_one_already_is_not_new(own_service: Service, change: str) -> None:
    boss, other = administrator(own_service), administrator(own_service)
    if change == "role":
        call = {"operation": "update_user_role", "body": {"role": "admin"}}
    else:
        call = {"operation": "disable_user"}
    assert own_service.call(**call, token=boss.token, user_id=other.id).status == 200  # type: ignore[arg-type]
    assert notices(own_service, boss.id) == {}


# ------------------------------------------------------------------------------------------------ the command line


def test_s61_the_command_line_tells_as_well(service: Service) -> None:
    ada = person(service)

    def user() -> Any:
        return administration.find(ada.id).user

    administration.set_role(user(), Role.ADMIN)
    administration.set_role(user(), Role.USER)
    administration.disable(user())
    administration.enable(user())
    assert row(service, ada.id)["status"] == Status.ENABLED
    assert set(notices(service, ada.id)) == {
        "administrator_added", "administrator_removed", "account_disabled", "account_enabled",
    }  # fmt: skip
    for payload in notices(service, ada.id).values():
        assert is_recent(payload["at"])
        assert "address" not in payload


# ------------------------------------------------------------------------------------------------ typed values


def test_s61_a_username_of_a_database_that_was_taken_over_is_only_text(
    own_service: Service, mail_server: MailServer
) -> None:
    boss, ada = administrator(own_service), person(own_service)
    typed = "http://evil.example/<b>"
    own_service.execute("UPDATE users SET username = %s WHERE id = %s", typed, ada.id)
    own_service.call("update_user_role", {"role": "admin"}, token=boss.token, user_id=ada.id)
    mail = received(own_service, mail_server, boss)
    assert mail.subject == "A new administrator"
    assert "evil.example" not in mail.text + mail.html
    assert "http:" not in mail.text
    assert "<b>" not in mail.html


def test_s61_an_account_without_a_username_is_named_by_its_id(own_service: Service, mail_server: MailServer) -> None:
    boss, ada = administrator(own_service), person(own_service)
    own_service.execute("UPDATE users SET username = NULL WHERE id = %s", ada.id)
    own_service.call("update_user_role", {"role": "admin"}, token=boss.token, user_id=ada.id)
    assert f"The account {ada.id} is" in " ".join(received(own_service, mail_server, boss).text.split())


def test_s61_a_row_of_before_is_still_sent(service: Service, mail_server: MailServer) -> None:
    from users.repository.outbox import record
    from users.rules.outbox_records import Record

    ada = person(service)
    record(ada.id, [Record(channel="mail", name="password_changed", payload={"email": ada.email})])
    mail = received(service, mail_server, ada)
    assert mail.text == render("password_changed", "en", user="Ada").text
    assert log_in(service, ada.email).status == 201
