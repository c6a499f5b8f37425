"""S23 A token of another purpose, and any token of Auth, gets the same answer as garbage."""

from typing import Literal

import pytest

from tests.people import NEW_PASSWORD, Person, log_in, mail_token, person, row, token_of_kind
from tests.service import Answer, Service


def reset(service: Service, token: str) -> Answer:
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    return service.call("reset_password", body, token=token)


def verify(service: Service, token: str) -> Answer:
    return service.call("verify_email", query=f"token={token}", headers={"accept": "application/json"})


def token(service: Service, who: Person, kind: str) -> str:
    mailed: dict[str, Literal["verification", "password_reset"]] = {
        "mailed to verify": "verification",
        "mailed to reset": "password_reset",
    }
    return mail_token(service, who, mailed[kind]) if kind in mailed else token_of_kind(service, who.id, kind)


@pytest.mark.parametrize("kind", ["mailed to verify", "recovery", "access", "refresh", "invitation", "api_key", "pat"])
def test_s23_no_other_token_sets_a_password(service: Service, kind: str) -> None:
    """Upstream accepts any bearer token here (contract §9 S3)."""
    ada = person(service)
    answer, garbage = reset(service, token(service, ada, kind)), reset(service, "garbage")
    assert (answer.status, answer.text) == (garbage.status, garbage.text)
    assert answer.error == (400, "invalid_verification")
    assert log_in(service, ada.email, ada.secret).status == 201


@pytest.mark.parametrize("kind", ["mailed to reset", "recovery", "access", "invitation"])
def test_s23_no_other_token_verifies(service: Service, kind: str) -> None:
    ada = person(service, verified=False)
    answer, garbage = verify(service, token(service, ada, kind)), verify(service, "garbage")
    assert (answer.status, answer.text) == (garbage.status, garbage.text)
    assert answer.error == (400, "invalid_verification")
    assert row(service, ada.id)["verified_at"] is None


@pytest.mark.parametrize("kind", ["mailed to verify", "mailed to reset"])
def test_s23_a_mailed_token_is_no_session(service: Service, kind: str) -> None:
    ada = person(service)
    for operation in ("view_profile", "refresh_token", "list_refresh_tokens"):
        answer = service.call(operation, token=token(service, ada, kind), headers={"content-type": "application/json"})
        assert answer.error == (401, "unauthenticated")
