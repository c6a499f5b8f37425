"""GET /users/tokens/refresh-tokens (contract §1.6.5; decisions 25)."""

import pytest

from tests.people import claims, person, records, token_of_kind
from tests.service import Service


def test_own_tokens_the_next_to_expire_first(service: Service) -> None:
    ada, bob = person(service), person(service)
    body = {"username": ada.email, "password": ada.secret, "description": "laptop"}
    second = service.call("issue_token", body).json["refresh_token"]
    answer = service.call("list_refresh_tokens", token=ada.token)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    tokens = answer.json["refresh_tokens"]
    ids = {"id": claims(ada.refresh_token)["jti"]}, {"id": claims(second)["jti"], "description": "laptop"}
    assert sorted(tokens, key=str) == sorted(ids, key=str)
    earliest = min(claims(token)["exp"] for token in (ada.refresh_token, second))
    assert tokens[0]["id"] in {
        claims(token)["jti"] for token in (ada.refresh_token, second) if claims(token)["exp"] == earliest
    }
    assert claims(bob.refresh_token)["jti"] not in answer.text


def test_none_is_an_empty_list(service: Service) -> None:
    """Upstream answers ``null`` (contract §9 B20)."""
    ada = person(service)
    service.call("revoke_refresh_token", {"token_id": claims(ada.refresh_token)["jti"]}, token=ada.token)
    assert service.call("list_refresh_tokens", token=ada.token).text == '{"refresh_tokens":[]}\n'


def test_before_the_address_is_verified(service: Service) -> None:
    assert service.call("list_refresh_tokens", token=person(service, verified=False).token).status == 200


@pytest.mark.parametrize("kind", ["pat", "api_key", "refresh"])
def test_only_a_session_lists(service: Service, kind: str) -> None:
    ada = person(service)
    answer = service.call("list_refresh_tokens", token=token_of_kind(service, ada.id, kind))
    assert answer.error == (401, "unauthenticated")


def test_no_event_tells_of_it(service: Service) -> None:
    ada = person(service)
    before = len(records(service, ada.id, "event"))
    with service.configured(MG_USERS_READ_EVENTS="true"):
        service.call("list_refresh_tokens", token=ada.token)
    assert len(records(service, ada.id, "event")) == before
