"""S59: a changed password differs from the previous one, and a login can change an expired one."""

import unicodedata
import uuid
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from nacl import bindings

from tests.bootstrapping import ADMINISTRATOR, bootstrap, empty_service
from tests.cli.command_line import CommandLine
from tests.parallel import Environments
from tests.people import NEW_PASSWORD, Person, event, is_alive, log_in, mail_token, mails, person, refresh, row
from tests.service import PASSWORD, Answer, Service

MAX_AGE = {"MG_USERS_PASS_MAX_AGE": "2160h"}  # 90 days
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "pässwörd é 7 horse") for form in ("NFC", "NFD"))  # type: ignore[arg-type]


def change(service: Service, who: Person, old: str, new: str, **details: Any) -> Answer:
    return service.call("update_user_secret", {"old_secret": old, "new_secret": new}, token=who.token, **details)


def reset(service: Service, token: str, new: str) -> Answer:
    return service.call("reset_password", {"password": new, "confirm_password": new}, token=token)


def expire(service: Service, user_id: str) -> None:
    service.execute("UPDATE users SET secret_changed_at = now() - interval '91 days' WHERE id = %s", user_id)


def log_in_anew(service: Service, identity: str, new: str, secret: str = PASSWORD, **details: Any) -> Answer:
    body = {"identity": identity, "secret": secret, "new_secret": new}
    return service.call("issue_token", body, **details)


def failures(service: Service, user_id: str) -> int:
    """Return the number of counted failed logins of the account."""
    (found,) = service.execute(
        "SELECT COALESCE(sum(hits), 0) AS hits FROM users_throttle WHERE user_id = %s AND key LIKE 'login:%%'", user_id
    )
    return int(found["hits"])


# --- the new password differs from the old one


def test_s59_a_change_to_the_same_password(service: Service) -> None:
    ada = person(service)
    before = row(service, ada.id)
    answer = change(service, ada, ada.secret, ada.secret)
    assert answer.error == (400, "password_unchanged")
    assert row(service, ada.id) == before
    assert is_alive(service, ada.token)


def test_s59_a_wrong_old_password_learns_nothing_of_the_new_one(service: Service) -> None:
    ada = person(service)
    assert change(service, ada, "wrong", ada.secret).error == (403, "wrong_password")
    assert failures(service, ada.id) > 0


def test_s59_the_same_password_is_no_failed_login(service: Service) -> None:
    ada, address = person(service), str(uuid.uuid4())
    for _ in range(6):
        assert change(service, ada, ada.secret, ada.secret, address=address).error == (400, "password_unchanged")
    assert change(service, ada, ada.secret, NEW_PASSWORD, address=address).status == 200


@pytest.mark.parametrize(("old", "new"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)], ids=["NFD", "NFC"])
def test_s59_another_spelling_is_the_same_password(service: Service, old: str, new: str) -> None:
    ada = person(service, credentials={"secret": old})
    assert change(service, ada, old, new).error == (400, "password_unchanged")
    assert reset(service, mail_token(service, ada, "password_reset"), new).error == (400, "password_unchanged")


@pytest.mark.parametrize(("old", "new"), [("é" * 36, "é" * 36), ("é" * 36 + "x", "é" * 36), ("é" * 36, "é" * 36 + "x")])
def test_s59_a_password_that_bcrypt_takes_for_the_same(service: Service, old: str, new: str) -> None:
    """bcrypt reads 72 bytes. Later bytes make no other password."""
    ada = person(service)
    stored = bcrypt.hashpw(("é" * 36).encode(), bcrypt.gensalt(4)).decode()
    service.execute("UPDATE users SET secret = %s WHERE id = %s", stored, ada.id)
    assert change(service, ada, old, new).error == (400, "password_unchanged")
    assert reset(service, mail_token(service, ada, "password_reset"), new).error == (400, "password_unchanged")


def test_s59_a_reset_to_the_same_password_leaves_the_link(service: Service) -> None:
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    assert reset(service, token, ada.secret).error == (400, "password_unchanged")
    assert is_alive(service, ada.token)
    assert reset(service, token, NEW_PASSWORD).status == 201


def test_s59_a_reset_without_a_valid_token_compares_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the answer nor its time reveals the password of the account."""
    ada = person(service)
    used, old = (mail_token(service, ada, "password_reset", lifetime=lifetime) for lifetime in ("1 hour", "-1 second"))
    service.execute("UPDATE users_one_time_tokens SET used_at = now() WHERE user_id = %s", ada.id)
    compared: list[object] = []
    monkeypatch.setattr(bindings, "crypto_pwhash_str_verify", lambda *arguments: compared.append(arguments))
    for token in (used, old, "garbage", mail_token(service, ada, "verification")):
        assert reset(service, token, ada.secret).text == reset(service, token, NEW_PASSWORD).text
    assert compared == []


def test_s59_one_link_is_good_for_one_wrong_guess(service: Service) -> None:
    """A reader of the mail cannot try several old passwords with one link: a wrong guess becomes the new password."""
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    assert reset(service, token, "is it this 1 password").status == 201
    assert reset(service, token, ada.secret).error == (400, "verification_expired")


def test_s59_an_operator_does_not_set_it_again(service: Service, tmp_path: Path) -> None:
    user = service.register()
    line = CommandLine.of(service, tmp_path)
    arguments = ("user", "reset-password", user["id"], "--password-stdin", "--json")
    assert line.run(*arguments, input=f"{PASSWORD}\n").failure[:2] == (1, "password_unchanged")
    assert line.run(*arguments, input=f"{NEW_PASSWORD}\n").code == 0


# --- the login changes an expired password


def test_s59_an_expired_password_is_changed_inside_the_login(service: Service) -> None:
    ada = person(service)
    service.execute("DELETE FROM users_outbox WHERE user_id = %s", ada.id)
    expire(service, ada.id)
    with service.configured(**MAX_AGE):
        answer = log_in_anew(service, ada.email, NEW_PASSWORD, headers={"x-request-id": "r1"})
        assert answer.status == 201, answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        assert is_alive(service, answer.json["access_token"])
        assert refresh(service, answer.json["refresh_token"]).status == 201
        assert log_in(service, ada.email, NEW_PASSWORD).status == 201
        assert log_in(service, ada.email, PASSWORD).error == (401, "invalid_credentials")
    assert not is_alive(service, ada.token), "sessions of the old password end"
    assert refresh(service, ada.refresh_token).status == 401
    assert mails(service, ada.id) == [("password_changed", ada.email)]
    stored = row(service, ada.id)
    assert stored["updated_by"] == ada.id
    assert stored["updated_at"] == stored["secret_changed_at"]


def test_s59_its_event_is_that_of_a_change(service: Service) -> None:
    ada = person(service)
    service.execute("DELETE FROM users_outbox WHERE user_id = %s", ada.id)
    expire(service, ada.id)
    with service.configured(**MAX_AGE):
        assert log_in_anew(service, ada.email, NEW_PASSWORD).status == 201
    payload = event(service, ada.id, "user.update_secret")
    assert (payload["id"], payload["updated_by"], payload["token_type"], payload["super_admin"]) == (
        *(ada.id, ada.id),
        *("access token", False),
    )
    assert event(service, ada.id, "user.issue_token") == {"username": ada.email}


def test_s59_it_forgets_failed_logins_and_gives_its_attempts_back(service: Service) -> None:
    ada, address = person(service), str(uuid.uuid4())
    expire(service, ada.id)
    with service.configured(**MAX_AGE):
        for _ in range(4):
            assert log_in(service, ada.email, "wrong", address=address).status == 401
        assert log_in_anew(service, ada.email, NEW_PASSWORD, address=address).status == 201
        assert failures(service, ada.id) == 0
        for _ in range(4):
            assert log_in(service, ada.email, "wrong", address=address).status == 401
        assert log_in(service, ada.email, NEW_PASSWORD, address=address).status == 201


def test_s59_a_wrong_old_password_is_the_ordinary_refusal_and_counts(service: Service) -> None:
    ada, address = person(service), str(uuid.uuid4())
    expire(service, ada.id)
    with service.configured(**MAX_AGE):
        ordinary = log_in(service, str(uuid.uuid4()), "wrong")
        for new in (NEW_PASSWORD, PASSWORD, "short", "password1", "x" * 1025):
            answer = log_in_anew(service, ada.email, new, "wrong", address=address)
            assert (answer.status, answer.text) == (401, ordinary.text)
        assert log_in_anew(service, ada.email, NEW_PASSWORD, address=address).error == (429, "too_many_requests")
    assert log_in(service, ada.email, PASSWORD).status == 201


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (PASSWORD, "password_unchanged"),
        ("short", "weak_password"),
        ("password123", "common_password"),
        ("x" * 1025, "password_too_long"),
        ("my {username} 1", "password_contains_name"),
    ],
)
def test_s59_the_rules_hold_inside_the_login(service: Service, new: str, code: str) -> None:
    ada, address = person(service), str(uuid.uuid4())
    expire(service, ada.id)
    before = row(service, ada.id)
    with service.configured(**MAX_AGE):
        for _ in range(6):
            answer = log_in_anew(service, ada.email, new.format(username=ada.username), address=address)
            assert answer.error == (400, code), "the old password was right, so the login has not failed"
    assert row(service, ada.id) == before


@pytest.mark.parametrize("variables", [MAX_AGE, {}], ids=["young", "never expires"])
def test_s59_only_an_expired_one_is_changed_by_a_login(service: Service, variables: dict[str, str]) -> None:
    """The service refuses the new password explicitly. Otherwise the owner would believe that it is set."""
    ada = person(service)
    with service.configured(**variables):
        assert log_in_anew(service, ada.email, NEW_PASSWORD).error == (400, "password_not_expired")
        assert log_in_anew(service, ada.email, NEW_PASSWORD, "wrong").error == (401, "invalid_credentials")
        assert log_in_anew(service, ada.email, "").status == 201, "an empty one is none"
    assert log_in(service, ada.email, PASSWORD).status == 201


@pytest.mark.parametrize("status", [1, 2], ids=["disabled", "deleted"])
def test_s59_an_account_that_is_not_enabled_changes_nothing(service: Service, status: int) -> None:
    ada = person(service)
    expire(service, ada.id)
    service.execute("UPDATE users SET status = %s WHERE id = %s", status, ada.id)
    with service.configured(**MAX_AGE):
        assert log_in_anew(service, ada.email, NEW_PASSWORD).error == (401, "invalid_credentials")
    assert row(service, ada.id)["secret_changed_at"] < row(service, ada.id)["created_at"]


def test_s59_of_changes_at_the_same_time_one_wins(service: Service, environments: Environments) -> None:
    ada = person(service)
    expire(service, ada.id)
    aging = Service(service.environment | MAX_AGE, service.conninfo, service.auth_environment)
    news = [f"new horse {number} battery" for number in range(8)]
    body = {"identity": ada.email, "secret": PASSWORD}
    calls = [{"operation": "issue_token", "body": body | {"new_secret": new}} for new in news]
    answers = environments.call(aging, calls)
    winners = [new for new, answer in zip(news, answers, strict=True) if answer.status == 201]
    assert len(winners) == 1, [answer.text for answer in answers]
    assert {answer.error for answer in answers if answer.status != 201} == {(401, "invalid_credentials")}
    assert log_in(service, ada.email, winners[0]).status == 201


def test_s59_the_first_administrator_is_not_locked_out_without_mail(postgres: Any, shared_service: Service) -> None:
    """No server answers at the address for mails."""
    nowhere = {"MG_EMAIL_FROM_ADDRESS": "", "AWS_ENDPOINT_URL_SESV2": "http://127.0.0.1:1"}
    first, second = ADMINISTRATOR["MG_USERS_ADMIN_PASSWORD"], NEW_PASSWORD
    with empty_service(postgres, shared_service) as service, service.configured(**MAX_AGE, **nowhere):
        bootstrap()
        (admin,) = service.execute("SELECT id, email FROM users")
        expire(service, admin["id"])
        assert log_in(service, admin["email"], first).error == (403, "password_expired")
        answer = log_in_anew(service, admin["email"], second, first)
        assert answer.status == 201, answer.text
        assert service.call("list_users", token=answer.json["access_token"]).status == 200
        assert log_in(service, admin["email"], second).status == 201
