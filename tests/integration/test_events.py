"""Every operation's event as a consumer of the stream reads it, against the table of contract §7.2.

Some events have no caller here. `user.identify` has none upstream either. Only the login by Google makes
`user.oauth_callback` and `user.add_policy` (contract §4.8), and it is not in this release (decisions.md#state).
"""

import json
import re
import time
from typing import Any

import pytest

from local.parts.mail import MailServer
from local.parts.nats import NatsServer
from tests.deliveries import events, mails_to
from tests.people import NEW_PASSWORD, administrator, claims, logged_in, person, refresh
from tests.service import PASSWORD, Service

EVERY = {"operation": str, "request_id": str, "occurred_at": int}
SESSION = {"token_type": str, "super_admin": bool}
CHANGE = SESSION | {"updated_at": str, "updated_by": str}
ACCOUNT = {
    "id": str,
    "status": str,
    "first_name": str,
    "last_name": str,
    "tags": list,
    "username": str,
    "email": str,
    "metadata": dict,
    "created_at": str,
}
VIEW = {name: kind for name, kind in ACCOUNT.items() if name != "last_name"} | CHANGE
PAGE = {"total": int, "offset": int, "limit": int}

# The keys of an account that has all of them. No event contains `private_metadata` (decisions 21).
TABLE: dict[str, dict[str, type]] = {
    "user.create": ACCOUNT | SESSION,
    "user.send_verification": {"user_id": str, "token_type": str},
    "user.verify_email": {"email": str, "user_id": str, "verified_at": str},
    "user.update": ACCOUNT | CHANGE,
    "user.update_role": ACCOUNT | CHANGE,
    "user.update_tags": ACCOUNT | CHANGE,
    "user.update_secret": ACCOUNT | CHANGE,
    "user.update_email": ACCOUNT | CHANGE,
    "user.update_username": {"id": str, "first_name": str, "last_name": str, "username": str} | CHANGE,
    "user.update_profile_picture": {"id": str, "profile_picture": str} | CHANGE,
    "user.enable": {"id": str, "status": str} | CHANGE,
    "user.disable": {"id": str, "status": str} | CHANGE,
    "user.view": VIEW | {"last_name": str},
    "user.view_profile": VIEW,
    "user.list": PAGE
    | SESSION
    | {"status": str, "order": str, "dir": str, "metadata": dict, "tags": list, "username": str, "email": str}
    | {"first_name": str, "last_name": str},
    # `email` is no parameter of a search (contract §3.3), so the event does not contain it.
    "user.search": PAGE | {"username": str, "first_name": str, "id": str, "last_name": str},
    "user.issue_token": {"username": str},
    "user.refresh_token": {},
    "user.revoke_refresh_token": {"token_id": str},
    "user.reset_secret": {},
    "user.send_password_reset": {"host": str, "email": str, "user": str},
    "user.delete": {"id": str} | SESSION,
    "user.purge": {"id": str},  # not in upstream, whose sweep emits nothing
}
TIMES = {"created_at", "updated_at", "verified_at"}


def perform_everything(service: Service, mail_url: str) -> None:
    """Call each operation of the table at least once, on accounts that have a value for every key of an event."""
    details = {"tags": ["t"], "metadata": {"m": 1}, "private_metadata": {"p": "canary-4711"}}
    admin = administrator(service)
    ada = person(service, verified=False, **details)
    service.execute("DELETE FROM users_throttle")

    def done(operation: str, body: Any = None, by: str = admin.token, **more: Any) -> None:
        answer = service.call(operation, body, token=by, **more)
        assert answer.status < 300, (operation, answer.text)

    done("send_verification", by=ada.token)
    service.deliver()
    link = mails_to(mail_url, ada.email)[-1]
    answer = service.call("verify_email", query=f"token={link.token}", headers={"accept": "application/json"})
    assert answer.status == 200, answer.text

    done("update_user", {"first_name": "Ada", **details}, ada.token, user_id=ada.id)
    done("update_user_tags", {"tags": ["t", "u"]}, ada.token, user_id=ada.id)
    done("update_profile_picture", {"profile_picture": "https://example.com/a.png"}, ada.token, user_id=ada.id)
    done("update_username", {"username": f"{ada.username}_new"}, ada.token, user_id=ada.id)
    done("view_profile", by=ada.token)
    done("view_user", user_id=ada.id)
    names = "first_name=Ada&last_name=Love&username=ada&email=example"
    done("list_users", query=f'{names}&metadata={{"m":1}}&tags=t&order=email&dir=asc')
    done("search_users", by=ada.token, query=f"{names}&id={ada.id[:8]}")
    assert refresh(service, ada.refresh_token).status == 201
    ada = logged_in(service, ada)
    done("revoke_refresh_token", {"token_id": claims(ada.refresh_token)["jti"]}, ada.token)

    service.execute("DELETE FROM users_throttle")
    assert service.call("request_password_reset", {"email": ada.email}).status == 201
    service.deliver()
    body = {"password": PASSWORD + "!", "confirm_password": PASSWORD + "!"}
    done("reset_password", body, mails_to(mail_url, ada.email)[-1].token, method="PUT")
    ada = logged_in(service, ada, PASSWORD + "!")
    done("update_user_secret", {"old_secret": ada.secret, "new_secret": NEW_PASSWORD}, ada.token)
    done("update_user_email", {"email": f"new-{ada.email}"}, user_id=ada.id)
    done("update_user_role", {"role": "user"}, user_id=ada.id)
    done("disable_user", user_id=ada.id)
    done("enable_user", user_id=ada.id)
    done("delete_user", user_id=ada.id)
    service.deliver()
    done("delete_user", user_id=ada.id, query="purge=true")
    service.deliver()


def test_every_operation_arrives_with_the_contracts_keys(
    emptied_service: Service, nats_server: NatsServer, mail_server: MailServer
) -> None:
    before = len(events(nats_server.url)) if _has_stream(nats_server.url) else 0
    began = time.time_ns()
    with emptied_service.configured(MG_USERS_READ_EVENTS="true"):
        perform_everything(emptied_service, mail_server.url)
    assert emptied_service.execute("SELECT * FROM users_outbox WHERE channel = 'event'") == []
    arrived = events(nats_server.url)[before:]
    assert len({event.message_id for event in arrived}) == len(arrived)
    assert {event.payload["operation"] for event in arrived} == set(TABLE)
    for event in arrived:
        name = event.payload["operation"]
        assert event.subject == f"events.magistrala.{name}"
        for key, value in event.payload.items():
            assert isinstance(value, (TABLE[name] | EVERY)[key]), (name, key, value)
        for key in TIMES & set(event.payload):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", event.payload[key])
        assert began <= event.payload["occurred_at"] <= time.time_ns()
        assert event.payload.get("token_type", "access token") == "access token"
        assert "canary" not in json.dumps(event.payload)
    for name, keys in TABLE.items():
        fullest = max((event.payload for event in arrived if event.payload["operation"] == name), key=len)
        assert set(fullest) == set(keys | EVERY), name


def _has_stream(url: str) -> bool:
    from nats.js.errors import NotFoundError

    try:
        events(url)
    except NotFoundError:
        return False
    return True


def test_a_request_writes_one_row_for_its_event_and_none_for_a_read(emptied_service: Service) -> None:
    ada = person(emptied_service)
    emptied_service.execute("DELETE FROM users_outbox")
    emptied_service.call("view_profile", token=ada.token)
    emptied_service.call("view_user", token=ada.token, user_id=ada.id)
    assert emptied_service.execute("SELECT * FROM users_outbox") == []
    emptied_service.call("update_user_tags", {"tags": ["x"]}, token=ada.token, user_id=ada.id)
    assert [row["name"] for row in emptied_service.execute("SELECT name FROM users_outbox")] == ["user.update_tags"]


def test_the_event_is_written_by_the_statement_that_makes_the_change(
    emptied_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from users.repository import database

    statements: list[str] = []
    run = database._run

    def counted(connection: Any, statement: str, *rest: Any) -> Any:
        statements.append(statement)
        return run(connection, statement, *rest)

    ada = person(emptied_service)
    monkeypatch.setattr(database, "_run", counted)
    assert emptied_service.call("update_user_tags", {"tags": ["x"]}, token=ada.token, user_id=ada.id).status == 200
    assert sum("INSERT INTO users_outbox" in statement for statement in statements) == 1
    assert all("UPDATE users u" in statement for statement in statements if "INSERT INTO users_outbox" in statement)
