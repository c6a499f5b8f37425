"""PATCH /users/secret (contract §1.5, §1.6.18; decisions 15, 27; S20)."""

from collections.abc import Callable
from typing import Any

import pytest

from local.parts.auth import AuthServer
from tests.people import (
    NEW_PASSWORD,
    Person,
    deliver,
    event,
    is_alive,
    log_in,
    logged_in,
    mails,
    person,
    records,
    refresh,
    row,
    token_of_kind,
)
from tests.service import Answer, Service
from users.rules.networks import networks_of


def update(service: Service, who: Person, old: Any, new: Any, **details: Any) -> Answer:
    return service.call("update_user_secret", {"old_secret": old, "new_secret": new}, token=who.token, **details)


def test_a_new_password(service: Service) -> None:
    ada = person(service, profile_picture="p", tags=["x"], private_metadata={"b": 1})
    before = row(service, ada.id)["secret_changed_at"]
    answer = update(service, ada, ada.secret, NEW_PASSWORD)
    assert answer.status == 200
    user = answer.json
    assert (user["id"], user["tags"], user["private_metadata"], user["updated_by"]) == (
        ada.id, ["x"], {"b": 1}, ada.id,
    )  # fmt: skip
    assert "profile_picture" not in user
    assert row(service, ada.id)["secret_changed_at"] > before
    assert log_in(service, ada.email, ada.secret).error == (401, "invalid_credentials")
    assert logged_in(service, ada, NEW_PASSWORD).token


def test_its_address_is_told_and_so_are_others(service: Service) -> None:
    ada = person(service)
    service.execute("DELETE FROM users_outbox WHERE user_id = %s", ada.id)
    user = update(service, ada, ada.secret, NEW_PASSWORD).json
    assert mails(service, ada.id) == [("password_changed", ada.email)]
    assert event(service, ada.id, "user.update_secret") == {
        "id": ada.id,
        "token_type": "access token",
        "super_admin": False,
        "status": "enabled",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "username": ada.username,
        "email": ada.email,
        "metadata": {},
        "created_at": user["created_at"],
        "updated_at": user["updated_at"],
        "updated_by": ada.id,
    }


def test_a_wrong_old_password(service: Service) -> None:
    """Upstream answers 422."""
    ada = person(service)
    answer = update(service, ada, "wrong", NEW_PASSWORD)
    assert answer.error == (403, "wrong_password")
    assert answer.json["message"] == "current password is wrong"
    assert is_alive(service, ada.token)


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("", NEW_PASSWORD, "missing_password", "missing password"),
        (None, NEW_PASSWORD, "missing_password", "missing password"),
        ("old", "", "missing_password", "missing password"),
        ("wrong", "short", "weak_password", "password does not meet the requirements"),
        ("wrong", "password123", "common_password", "password is too common"),
        ("wrong", "x" * 1025, "password_too_long", "password is longer than 1024 bytes"),
        (7, NEW_PASSWORD, "malformed_body", "request body is not a valid JSON, expecting a valid JSON"),
    ],
)
def test_what_is_refused_whatever_the_old_one_is(service: Service, old: Any, new: Any, code: str, message: str) -> None:
    ada = person(service)
    answer = update(service, ada, old, new)
    assert answer.error == (400, code)
    assert answer.json["message"] == message


def test_a_password_that_tells_the_name(service: Service) -> None:
    ada = person(service)
    assert update(service, ada, ada.secret, f"my {ada.username} 1").error == (400, "password_contains_name")


def test_a_refused_new_password_is_no_failed_login(service: Service) -> None:
    """It never counts, because the old password was right or was not checked."""
    ada, address = person(service), "192.0.2.77"
    for new in ["short", f"my {ada.username} 1"] * 6:
        assert update(service, ada, ada.secret, new, address=address).status == 400
    assert update(service, ada, ada.secret, NEW_PASSWORD, address=address).status == 200


def test_a_change_by_the_right_password_is_counted_nowhere(service: Service) -> None:
    ada, address = person(service), "192.0.2.78"
    update(service, ada, ada.secret, NEW_PASSWORD, address=address)
    key = f"login:address:{networks_of(address).near}"
    assert service.execute("SELECT hits FROM users_throttle WHERE key = %s", key) == []


def test_a_long_password_counts_to_its_end(service: Service) -> None:
    """Upstream refuses more than 72 bytes (contract §9 B11)."""
    ada, long = person(service), "é" * 100
    assert update(service, ada, ada.secret, long + "x").status == 200
    assert log_in(service, ada.email, long + "y").status == 401
    assert log_in(service, ada.email, long + "x").status == 201


@pytest.mark.parametrize("kind", ["pat", "api_key", "refresh"])
def test_only_a_session_changes_it(service: Service, kind: str) -> None:
    ada = person(service)
    body = {"old_secret": ada.secret, "new_secret": NEW_PASSWORD}
    answer = service.call("update_user_secret", body, token=token_of_kind(service, ada.id, kind))
    assert answer.error == (401, "unauthenticated")


def test_an_unverified_account(service: Service) -> None:
    ada = person(service, verified=False)
    assert update(service, ada, ada.secret, NEW_PASSWORD).error == (401, "email_not_verified")
    assert log_in(service, ada.email, ada.secret).status == 201


def test_an_external_account_has_no_password_to_change(service: Service) -> None:
    ada = person(service)
    service.execute("UPDATE users SET auth_provider = 'google', secret = '' WHERE id = %s", ada.id)
    assert update(service, ada, "anything at all", NEW_PASSWORD).error == (403, "wrong_password")


def test_no_login_takes_place(service: Service) -> None:
    """Upstream's inner login leaves a refresh token (contract §9 B12)."""
    ada = person(service)
    update(service, ada, ada.secret, NEW_PASSWORD)
    deliver("revocation")
    again = logged_in(service, ada, NEW_PASSWORD)
    assert len(service.call("list_refresh_tokens", token=again.token).json["refresh_tokens"]) == 1


def test_while_auth_is_away(service: Service, make_auth: Callable[..., AuthServer]) -> None:
    """The change itself ends the sessions. The revocation at Auth is only for tidiness."""
    auth = make_auth()
    asking = service.asking(auth)
    with asking.configured():
        ada = person(asking)
        assert is_alive(asking, ada.token)
        auth.stop()
        assert update(asking, ada, ada.secret, NEW_PASSWORD).status == 200
        assert not is_alive(asking, ada.token)
        assert records(service, ada.id, "revocation") == []
        auth.start()
        auth.wait_ready()
        assert refresh(asking, ada.refresh_token).error == (401, "unauthenticated")
