"""POST /users/tokens/refresh (contract §1.6.3, §4.4; decisions 14, 15)."""

from collections.abc import Callable

import pytest

from local.parts.auth import AuthServer
from tests.people import (
    claims,
    deliver,
    event,
    is_alive,
    log_in,
    logged_in,
    person,
    records,
    refresh,
    token_of_kind,
)
from tests.service import Service

JSON = {"content-type": "application/json"}


def test_new_tokens_for_a_refresh_token(service: Service) -> None:
    ada = person(service)
    answer = refresh(service, ada.refresh_token)
    assert answer.status == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert list(answer.json) == ["access_token", "refresh_token"]
    assert is_alive(service, answer.json["access_token"])
    assert claims(answer.json["access_token"])["sub"] == ada.id
    assert refresh(service, answer.json["refresh_token"]).status == 201


def test_no_body_is_read(service: Service) -> None:
    ada = person(service)
    answer = service.call("refresh_token", token=ada.refresh_token, raw="{not json", headers=JSON)
    assert answer.status == 201


def test_what_is_checked_first(service: Service) -> None:
    ada = person(service)
    assert service.call("refresh_token").error == (401, "missing_token")
    assert service.call("refresh_token", token="garbage").error == (401, "unauthenticated")
    assert service.call("refresh_token", token=ada.refresh_token).error == (415, "unsupported_content_type")


@pytest.mark.parametrize("kind", ["access", "recovery", "invitation", "api_key", "pat"])
def test_no_other_token_is_refreshed(service: Service, kind: str) -> None:
    """Upstream answers 500 with an empty body (contract §9 B13)."""
    ada = person(service)
    assert refresh(service, token_of_kind(service, ada.id, kind)).error == (401, "unauthenticated")


def test_the_new_token_says_what_the_row_says(service: Service) -> None:
    ada = person(service, verified=False)
    assert claims(ada.token)["verified"] is False
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", ada.id)
    assert claims(refresh(service, ada.refresh_token).json["access_token"])["verified"] is True


@pytest.mark.parametrize("status", [1, 2], ids=["disabled", "deleted"])
def test_an_account_that_is_not_enabled_gets_none(service: Service, status: int) -> None:
    """Upstream refreshes for a deleted account (contract §9 S8)."""
    ada = person(service)
    service.execute("UPDATE users SET status = %s WHERE id = %s", status, ada.id)
    assert refresh(service, ada.refresh_token).error == (401, "unauthenticated")


def test_an_account_that_is_gone_gets_none(service: Service) -> None:
    ada = person(service)
    service.execute("DELETE FROM users WHERE id = %s", ada.id)
    assert refresh(service, ada.refresh_token).error == (401, "unauthenticated")


def test_a_revoked_token_is_refused(service: Service) -> None:
    ada = person(service)
    token_id = claims(ada.refresh_token)["jti"]
    assert service.call("revoke_refresh_token", {"token_id": token_id}, token=ada.token).status == 204
    assert refresh(service, ada.refresh_token).error == (401, "unauthenticated")


def test_the_event(service: Service) -> None:
    ada = person(service)
    refresh(service, ada.refresh_token)
    assert event(service, ada.id, "user.refresh_token") == {}


def test_without_auth_it_is_unavailable(service: Service, make_auth: Callable[..., AuthServer]) -> None:
    auth = make_auth()
    asking = service.asking(auth)
    with asking.configured():
        ada = person(asking)
        auth.stop()
        answer = refresh(asking, ada.refresh_token)
    assert answer.error == (503, "service_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert not [each for each in records(service, ada.id, "event") if each["name"] == "user.refresh_token"]


def test_with_symmetric_keys_the_account_decides_as_well(
    service: Service, make_auth: Callable[..., AuthServer]
) -> None:
    """In this configuration Auth judges the tokens, and would refresh any.

    ``iat`` comes from the payload (decisions 15).
    """
    variables = {"MG_AUTH_KEYS_ALGORITHM": "HS256", "MG_AUTH_SECRET_KEY": "symmetric-secret-of-the-test"}
    asking = service.asking(make_auth(**variables), **variables)
    with asking.configured(**variables):
        ada = person(asking)
        assert refresh(asking, ada.refresh_token).status == 201
        assert refresh(asking, ada.token).error == (401, "unauthenticated")
        body = {"old_secret": ada.secret, "new_secret": "a new 1 for the test"}
        assert asking.call("update_user_secret", body, token=ada.token).status == 200
        assert refresh(asking, ada.refresh_token).error == (401, "unauthenticated")
        assert not is_alive(asking, ada.token)
        again = logged_in(asking, ada, "a new 1 for the test")
        deliver("revocation")
        assert is_alive(asking, again.token)
        assert refresh(asking, again.refresh_token).status == 201
        assert log_in(asking, ada.email, ada.secret).error == (401, "invalid_credentials")
