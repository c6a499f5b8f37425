"""POST /users/tokens/revoke (contract §1.6.4; S32)."""

from collections.abc import Callable

import pytest

from local.parts.auth import AuthServer
from tests.people import claims, event, is_alive, person, records, refresh, token_of_kind
from tests.service import Answer, Service


def revoke(service: Service, token: str, token_id: object) -> Answer:
    return service.call("revoke_refresh_token", {"token_id": token_id}, token=token)


def test_a_revoked_token_refreshes_no_more(service: Service) -> None:
    ada = person(service)
    token_id = claims(ada.refresh_token)["jti"]
    answer = revoke(service, ada.token, token_id)
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["Content-Type"] == "application/json"
    assert refresh(service, ada.refresh_token).status == 401
    assert is_alive(service, ada.token)
    assert event(service, ada.id, "user.revoke_refresh_token") == {"token_id": token_id}


def test_a_token_is_revoked_once(service: Service) -> None:
    """Upstream answers 204 whatever the id is."""
    ada = person(service)
    token_id = claims(ada.refresh_token)["jti"]
    assert revoke(service, ada.token, token_id).status == 204
    assert revoke(service, ada.token, token_id).error == (404, "not_found")
    assert revoke(service, ada.token, "unknown").error == (404, "not_found")


def test_before_the_address_is_verified(service: Service) -> None:
    ada = person(service, verified=False)
    assert revoke(service, ada.token, claims(ada.refresh_token)["jti"]).status == 204


def test_what_is_checked_first(service: Service) -> None:
    ada = person(service)
    assert service.call("revoke_refresh_token", {}).error == (401, "missing_token")
    assert service.call("revoke_refresh_token", token=ada.token).error == (415, "unsupported_content_type")
    assert service.call("revoke_refresh_token", token=ada.token, raw="{").error == (400, "malformed_body")
    assert revoke(service, ada.token, 7).error == (400, "malformed_body")
    for body in ({}, {"token_id": ""}, {"token_id": None}):
        answer = service.call("revoke_refresh_token", body, token=ada.token)
        assert answer.error == (400, "missing_id")
        assert answer.json["message"] == "missing entity id"


@pytest.mark.parametrize("kind", ["pat", "api_key", "refresh"])
def test_only_a_session_revokes(service: Service, kind: str) -> None:
    ada = person(service)
    token = token_of_kind(service, ada.id, kind)
    assert revoke(service, token, claims(ada.refresh_token)["jti"]).error == (401, "unauthenticated")


def test_without_auth_it_is_unavailable(service: Service, make_auth: Callable[..., AuthServer]) -> None:
    auth = make_auth()
    asking = service.asking(auth)
    with asking.configured():
        ada = person(asking)
        auth.stop()
        assert revoke(asking, ada.token, claims(ada.refresh_token)["jti"]).error == (503, "service_unavailable")
    assert "user.revoke_refresh_token" not in [each["name"] for each in records(service, ada.id, "event")]
