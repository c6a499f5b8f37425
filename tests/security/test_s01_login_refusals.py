"""S1, S3: every refused login returns the same bytes, for any reason."""

import uuid
from collections.abc import Callable

import pytest

from tests.service import PASSWORD, Answer, Service

REQUEST_ID = {"x-request-id": "same"}


def log_in(service: Service, identity: str, secret: str) -> Answer:
    return service.call("issue_token", {"identity": identity, "secret": secret}, headers=REQUEST_ID)


@pytest.fixture
def reference(service: Service) -> Answer:
    return log_in(service, f"{uuid.uuid4()}@example.com", PASSWORD)


def test_s01_unknown_identity_and_wrong_password(service: Service, reference: Answer) -> None:
    user = service.register()
    assert (reference.status, reference.json) == (
        401,
        {"message": "invalid credentials", "error": "invalid_credentials"},
    )
    for identity in (user["email"], user["credentials"]["username"], user["email"].upper()):
        assert log_in(service, identity, "wrong password") == reference


STATES: dict[str, str] = {
    "disabled": "status = 1",
    "deleted": "status = 2",
    "unverified": "verified_at = NULL",
    "external": "secret = '', auth_provider = 'google'",
    "without a hash": "secret = NULL",
    "administrator": "role = 1",
}


@pytest.mark.parametrize("state", STATES)
def test_s03_accounts_of_every_kind_with_a_wrong_password(service: Service, reference: Answer, state: str) -> None:
    user = service.register()
    service.execute(f"UPDATE users SET {STATES[state]} WHERE id = %s", user["id"])
    assert log_in(service, user["email"], "wrong password") == reference


@pytest.mark.parametrize("state", ["disabled", "deleted"])
def test_s03_and_disabled_or_deleted_ones_with_the_right_one(service: Service, reference: Answer, state: str) -> None:
    user = service.register()
    service.execute(f"UPDATE users SET {STATES[state]} WHERE id = %s", user["id"])
    assert log_in(service, user["email"], PASSWORD) == reference


@pytest.mark.parametrize(
    "odd", [str.swapcase, lambda text: f" {text}", lambda text: f"{text}\n", lambda text: text * 50]
)
def test_s01_odd_spellings_of_an_identity(service: Service, reference: Answer, odd: Callable[[str], str]) -> None:
    user = service.register()
    assert log_in(service, odd(user["email"]), "wrong password") == reference
