"""The caller's identity is checked before the content of the request (contract §1.2, §1.3)."""

import json
from typing import Any

import pytest

from tests.people import Person, administrator, log_in, person, refresh, token_of_kind
from tests.service import Service

# Invalid requests. If `user_id` is missing, the request is about the caller.
BAD: dict[str, dict[str, Any]] = {
    "broken JSON": {"operation": "update_user", "raw": "{"},
    "a wrong type": {"operation": "update_user_tags", "body": {"tags": "x"}},
    "a bad picture": {"operation": "update_profile_picture", "body": {"profile_picture": "%zz"}},
    "a bad username": {"operation": "update_username", "body": {"username": "-"}},
    "no password": {"operation": "update_user_secret", "body": {}},
    "a bad flag": {"operation": "delete_user", "query": "purge=perhaps"},
    "an id with NUL": {"operation": "view_user", "user_id": "\0"},
    "an empty id": {"operation": "disable_user", "user_id": ""},
    "an empty search": {"operation": "search_users", "query": ""},
    "a bad limit": {"operation": "list_users", "query": "limit=0"},
    "no role": {"operation": "update_user_role", "body": {"role": "root"}},
    "another type": {"operation": "update_user", "raw": "{}", "headers": {"content-type": "text/plain"}},
    "a long body": {"operation": "update_user", "raw": json.dumps({"first_name": "a" * 1024 * 1024})},
}
STATUS = {"an id with NUL": 404, "another type": 415, "a long body": 413}
EACH = pytest.mark.parametrize("what", BAD)


def send(service: Service, what: str, user_id: str, token: str) -> tuple[int, str]:
    return service.call(**({"user_id": user_id} | BAD[what]), token=token).error


@EACH
def test_an_unverified_caller(service: Service, what: str) -> None:
    ada = person(service, verified=False)
    assert send(service, what, ada.id, ada.token) == (401, "email_not_verified")
    with service.configured(MG_ALLOW_UNVERIFIED_USER="true"):
        assert send(service, what, ada.id, ada.token)[0] == STATUS.get(what, 400)


@pytest.mark.long
@EACH
@pytest.mark.parametrize("end", ["status = 1", "status = 2", "tokens_valid_from = now() + interval '1 hour'"])
def test_a_caller_whose_session_is_over(service: Service, what: str, end: str) -> None:
    ada = person(service)
    service.execute(f"UPDATE users SET {end} WHERE id = %s", ada.id)
    assert send(service, what, ada.id, ada.token) == (401, "unauthenticated")


@EACH
@pytest.mark.parametrize("make", [person, administrator])
def test_anybody_else_is_told_what_is_wrong(service: Service, what: str, make: Any) -> None:
    """An ordinary user gets the same answer: upstream validates the request before it checks the role."""
    caller: Person = make(service)
    assert send(service, what, caller.id, caller.token)[0] == STATUS.get(what, 400)


def test_operations_of_the_unverified(service: Service) -> None:
    ada = person(service, verified=False)
    assert service.call("revoke_refresh_token", {}, token=ada.token).error == (400, "missing_id")
    assert service.call("update_user_email", {}, user_id=ada.id, token=ada.token).error == (400, "invalid_email")
    answer = service.call("refresh_token", token=ada.refresh_token, headers={"content-type": "text/plain"})
    assert answer.error == (415, "unsupported_content_type")
    service.execute("UPDATE users SET status = 1 WHERE id = %s", ada.id)
    answer = service.call("refresh_token", token=ada.refresh_token, headers={"content-type": "text/plain"})
    assert answer.error == refresh(service, ada.refresh_token).error == (401, "unauthenticated")


@EACH
def test_a_stranger_costs_no_query(service: Service, what: str) -> None:
    with service.configured(MG_USERS_DB_HOST="127.0.0.1", MG_USERS_DB_PORT="1"):
        assert send(service, what, "a", "a.b.c") == (401, "unauthenticated")


@pytest.mark.long
@EACH
@pytest.mark.parametrize("kind", ["refresh", "recovery", "invitation"])
def test_a_token_of_another_purpose_costs_no_query(service: Service, what: str, kind: str) -> None:
    ada = person(service)
    token = token_of_kind(service, ada.id, kind)
    with service.configured(MG_USERS_DB_HOST="127.0.0.1", MG_USERS_DB_PORT="1"):
        assert send(service, what, ada.id, token) == (401, "unauthenticated")


def test_without_the_database_nobody_can_be_judged(service: Service) -> None:
    ada = person(service)
    with service.configured(MG_USERS_DB_HOST="127.0.0.1", MG_USERS_DB_PORT="1"):
        assert send(service, "broken JSON", ada.id, ada.token) == (400, "malformed_body")


def test_what_anybody_may_send_is_not_judged(service: Service) -> None:
    ada = person(service, verified=False)
    answer = service.call("register_user", {}, token=ada.token)
    assert answer.error == (400, "missing_first_name")
    assert log_in(service, "").error == (400, "missing_identity")
