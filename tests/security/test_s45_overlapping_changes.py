"""S45: a login or refresh that overlaps a change of password, role or status leaves no valid token."""

import importlib
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import bcrypt
import psycopg
import pytest

from tests.parallel import Environments
from tests.people import (
    NEW_PASSWORD,
    Person,
    administrator,
    claims,
    deliver,
    is_alive,
    log_in,
    logged_in,
    mail_token,
    person,
    records,
    refresh,
    row,
)
from tests.service import PASSWORD, Service, eventually, handler
from users.peers import auth
from users.repository import changes, one_time_tokens
from users.rules import passwords
from users.rules.networks import networks_of

Change = Callable[[Service, Person], None]


def change_password(service: Service, who: Person) -> None:
    body = {"old_secret": who.secret, "new_secret": NEW_PASSWORD}
    assert service.call("update_user_secret", body, token=who.token).status == 200


def reset_password(service: Service, who: Person) -> None:
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    assert service.call("reset_password", body, token=mail_token(service, who, "password_reset")).status == 201


def disable_and_enable(service: Service, who: Person) -> None:
    boss = administrator(service)
    assert service.call("disable_user", token=boss.token, user_id=who.id).status == 200
    assert service.call("enable_user", token=boss.token, user_id=who.id).status == 200


def promote(service: Service, who: Person) -> None:
    boss = administrator(service)
    assert service.call("update_user_role", {"role": "admin"}, token=boss.token, user_id=who.id).status == 200


CHANGES = [change_password, reset_password, disable_and_enable, promote]


def while_auth_is_asked(monkeypatch: pytest.MonkeyPatch, operation: str, happens: Callable[[], Any]) -> list[Any]:
    """Run ``happens`` between the read of the account and the request to Auth.

    Return the list of tokens that Auth then makes.
    """
    handler(operation)
    app = importlib.import_module(f"functions.{operation}.app")
    real, made = app.obtain_tokens, []

    def obtain(*arguments: Any) -> Any:
        monkeypatch.setattr(app, "obtain_tokens", real)
        happens()
        made.append(real(*arguments))
        return made[-1]

    monkeypatch.setattr(app, "obtain_tokens", obtain)
    return made


def change_and_pass_the_second(service: Service, who: Person, change: Change) -> None:
    """Change the account, and wait until new tokens of Auth look younger than the change."""
    change(service, who)
    valid_from = row(service, who.id)["tokens_valid_from"].timestamp()
    eventually(lambda: time.time() >= valid_from)


def events(service: Service, who: Person, name: str) -> int:
    return [each["name"] for each in records(service, who.id, "event")].count(name)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_s45_a_login(service: Service, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    ada, source = person(service), str(uuid.uuid4())
    before = events(service, ada, "user.issue_token")
    made = while_auth_is_asked(monkeypatch, "issue_token", lambda: change_and_pass_the_second(service, ada, change))
    answer = log_in(service, ada.email, ada.secret, address=source)
    assert answer.error == (401, "invalid_credentials")
    (tokens,) = made
    assert is_alive(service, tokens.access_token), "the account's row alone would not refuse the token"
    assert events(service, ada, "user.issue_token") == before
    deliver("revocation")
    assert auth.list_refresh_tokens(ada.id) == []
    assert refresh(service, tokens.refresh_token).error == (401, "unauthenticated")
    assert service.execute("SELECT 1 FROM users_known_addresses WHERE address = %s", networks_of(source).near) == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_s45_a_refresh(service: Service, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    ada = person(service)
    made = while_auth_is_asked(monkeypatch, "refresh_token", lambda: change_and_pass_the_second(service, ada, change))
    assert refresh(service, ada.refresh_token).error == (401, "unauthenticated")
    (tokens,) = made
    assert events(service, ada, "user.refresh_token") == 0
    deliver("revocation")
    assert auth.list_refresh_tokens(ada.id) == []
    assert refresh(service, tokens.refresh_token).error == (401, "unauthenticated")


_UNCOMMITTED = """
    UPDATE users SET secret = %s, secret_changed_at = now(), tokens_valid_from = date_trunc('second', now())
    WHERE id = %s"""


@pytest.mark.parametrize("operation", ["issue_token", "refresh_token"])
def test_s45_a_change_that_is_not_committed_yet_is_waited_for(service: Service, operation: str) -> None:
    ada = person(service)
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as thread, psycopg.connect(service.conninfo) as other:
        other.execute(_UNCOMMITTED, [passwords.hash_password(NEW_PASSWORD), ada.id])
        if operation == "issue_token":
            waiting = thread.submit(log_in, service, ada.email, ada.secret)
        else:
            waiting = thread.submit(refresh, service, ada.refresh_token)
        eventually(lambda: service.execute(waits))
        other.commit()
        assert waiting.result().status == 401


@pytest.mark.parametrize("change", ["change", "reset"])
def test_s45_a_change_reads_the_clock_after_the_logins_that_it_waits_for(service: Service, change: str) -> None:
    """A login has locked the account in the last moment of a second. Its token is older than the change."""
    ada, at = person(service), datetime.now(UTC)
    token, new_hash = mail_token(service, ada, "password_reset"), passwords.hash_password(NEW_PASSWORD)
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as thread, psycopg.connect(service.conninfo) as other:
        other.execute("SELECT FROM users WHERE id = %s FOR NO KEY UPDATE", [ada.id])
        if change == "change":
            old_hash = row(service, ada.id)["secret"]
            waiting: Future[Any] = thread.submit(changes.update_secret, ada.id, old_hash, new_hash, [], at=at)
        else:
            waiting = thread.submit(one_time_tokens.use_for_reset, token, new_hash, [], at=at)
        eventually(lambda: service.execute(waits))
        second = int(time.time())
        eventually(lambda: time.time() >= second + 1)
        other.commit()
        assert waiting.result()
    assert row(service, ada.id)["tokens_valid_from"].timestamp() > second + 1


def test_s45_a_password_that_has_expired(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 403 would reveal that the old password was right, although it is not right any more."""
    ada, real = person(service), passwords.verify_password

    def verify_then_change(stored_hash: str, password: str) -> bool:
        right = real(stored_hash, password)
        service.execute(_UNCOMMITTED, "$argon2id$another", ada.id)
        return right

    service.execute("UPDATE users SET secret_changed_at = now() - interval '1 day' WHERE id = %s", ada.id)
    monkeypatch.setattr(passwords, "verify_password", verify_then_change)
    with service.configured(MG_USERS_PASS_MAX_AGE="1h"):
        assert log_in(service, ada.email, ada.secret).error == (401, "invalid_credentials")


def test_s45_another_login_that_replaces_the_hash_is_no_change(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = person(service)
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, b"2a")).decode()
    service.execute("UPDATE users SET secret = %s WHERE id = %s", stored, ada.id)
    other: list[Person] = []
    while_auth_is_asked(monkeypatch, "issue_token", lambda: other.append(logged_in(service, ada)))
    answer = log_in(service, ada.email, ada.secret)
    assert answer.status == 201
    assert row(service, ada.id)["secret"].startswith("$argon2id$")
    assert is_alive(service, other[0].token)
    assert is_alive(service, answer.json["access_token"])


def test_s45_upstreams_change_of_such_a_password_is_one(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upstream may still run on the tables. It writes a bcrypt hash, and none of our columns."""
    ada = person(service)
    old, new = (bcrypt.hashpw(text, bcrypt.gensalt(4, b"2a")).decode() for text in (PASSWORD.encode(), b"another"))
    statement = "UPDATE users SET secret = %s WHERE id = %s"
    service.execute(statement, old, ada.id)
    while_auth_is_asked(monkeypatch, "issue_token", lambda: service.execute(statement, new, ada.id))
    assert log_in(service, ada.email, ada.secret).error == (401, "invalid_credentials")
    assert row(service, ada.id)["secret"] == new


@pytest.mark.long
@pytest.mark.parametrize("change", ["change", "reset"])
def test_s45_twenty_changes_with_logins_beside(service: Service, environments: Environments, change: str) -> None:
    """No token of the old password works afterwards. Each change is near the end of a second."""
    for _ in range(20):
        ada = person(service)
        login = {"operation": "issue_token", "body": {"identity": ada.email, "secret": ada.secret}}
        if change == "change":
            body = {"old_secret": ada.secret, "new_secret": NEW_PASSWORD}
            changing = {"operation": "update_user_secret", "body": body, "token": ada.token}
        else:
            body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
            token = mail_token(service, ada, "password_reset")
            changing = {"operation": "reset_password", "body": body, "token": token}
        eventually(lambda: time.time() % 1 > 0.7)
        changed, *logins = environments.call(service, [changing, *[login] * 7])
        assert changed.status in {200, 201}
        assert {answer.status for answer in logins} <= {201, 401}
        for tokens in [answer.json for answer in logins if answer.status == 201]:
            assert not is_alive(service, tokens["access_token"]), claims(tokens["access_token"])
            assert refresh(service, tokens["refresh_token"]).status == 401
        assert log_in(service, ada.email, NEW_PASSWORD).status == 201
