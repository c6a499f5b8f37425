"""S30 After a change of password, role or status the old refresh token and the old access token answer 401, at once.

Auth neither rotates refresh tokens nor sees the change (contract §9 S6, §9 S9). Only the account's row ends them.
"""

from collections.abc import Callable

import pytest

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
from tests.service import PASSWORD, Service

Change = Callable[[Service, Person, Person], str]


def change_password(service: Service, who: Person, boss: Person) -> str:
    body = {"old_secret": who.secret, "new_secret": NEW_PASSWORD}
    assert service.call("update_user_secret", body, token=who.token).status == 200
    return NEW_PASSWORD


def reset_password(service: Service, who: Person, boss: Person) -> str:
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    token = mail_token(service, who, "password_reset")
    assert service.call("reset_password", body, token=token).status == 201
    return NEW_PASSWORD


def promote(service: Service, who: Person, boss: Person) -> str:
    assert service.call("update_user_role", {"role": "admin"}, token=boss.token, user_id=who.id).status == 200
    return PASSWORD


def demote(service: Service, who: Person, boss: Person) -> str:
    assert service.call("update_user_role", {"role": "user"}, token=boss.token, user_id=who.id).status == 200
    return PASSWORD


def disable_and_enable(service: Service, who: Person, boss: Person) -> str:
    assert service.call("disable_user", token=who.token, user_id=who.id).status == 200
    assert service.call("enable_user", token=boss.token, user_id=who.id).status == 200
    return PASSWORD


def delete_and_restore(service: Service, who: Person, boss: Person) -> str:
    assert service.call("delete_user", token=who.token, user_id=who.id).status == 204
    assert service.call("enable_user", token=boss.token, user_id=who.id).status == 200
    return PASSWORD


CHANGES = [change_password, reset_password, promote, demote, disable_and_enable, delete_and_restore]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_s30_old_tokens_end_and_a_login_in_the_same_second_lives(service: Service, change: Change) -> None:
    who = administrator(service) if change is demote else person(service)
    boss = administrator(service)
    other = logged_in(service, who)
    password = change(service, who, boss)
    for session in (who, other):
        assert not is_alive(service, session.token)
        assert refresh(service, session.refresh_token).error == (401, "unauthenticated")
    again = logged_in(service, who, password)
    valid_from = row(service, who.id)["tokens_valid_from"].timestamp()
    assert claims(again.token)["iat"] >= valid_from
    assert is_alive(service, again.token)
    renewed = refresh(service, again.refresh_token)
    assert renewed.status == 201
    assert is_alive(service, renewed.json["access_token"])
    deliver("revocation")
    assert refresh(service, again.refresh_token).status == 201
    assert not is_alive(service, who.token)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_s30_auth_forgets_the_refresh_tokens_that_there_were(service: Service, change: Change) -> None:
    who = administrator(service) if change is demote else person(service)
    change(service, who, administrator(service))
    revoked = [token for each in records(service, who.id, "revocation") for token in each["payload"]["token_ids"]]
    assert claims(who.refresh_token)["jti"] in revoked
    deliver("revocation")
    service.execute("UPDATE users SET tokens_valid_from = NULL WHERE id = %s", who.id)
    assert refresh(service, who.refresh_token).error == (401, "unauthenticated")


def test_s30_a_refresh_inside_the_second_of_a_change_waits_for_the_next(service: Service) -> None:
    """In whole seconds the refresh token is not older than the change.

    The new access token must not be older, either.
    """
    ada = person(service)
    statement = "UPDATE users SET tokens_valid_from = date_trunc('second', now()) + interval '1 second' WHERE id = %s"
    service.execute(statement, ada.id)
    assert not is_alive(service, ada.token)
    again = logged_in(service, ada)
    service.execute(
        "UPDATE users SET tokens_valid_from = to_timestamp(%s) WHERE id = %s", claims(again.token)["iat"], ada.id
    )
    renewed = refresh(service, again.refresh_token).json["access_token"]
    assert claims(renewed)["iat"] >= claims(again.token)["iat"]
    assert is_alive(service, renewed)


def test_s30_a_clock_that_is_wrong_is_no_token_that_is_dead(service: Service) -> None:
    """The service returns no token that it would refuse. The answer is 503, for the right password only."""
    ada = person(service)
    service.execute("UPDATE users SET tokens_valid_from = now() + interval '1 hour' WHERE id = %s", ada.id)
    answer = log_in(service, ada.email, ada.secret)
    assert answer.error == (503, "service_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert log_in(service, ada.email, "wrong password").error == (401, "invalid_credentials")


def test_s30_an_address_change_leaves_sessions(service: Service) -> None:
    """The change concerns no password, role or status. The new address is merely unverified."""
    ada = person(service)
    body = {"email": f"new-{ada.email}"}
    assert service.call("update_user_email", body, token=ada.token, user_id=ada.id).status == 200
    assert is_alive(service, ada.token)
    assert refresh(service, ada.refresh_token).status == 201
