"""S22–S25: the statement that uses a mailed token checks again whether the token may be used.

An earlier check answers most requests. Between the two, the token may expire and the account may change.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.people import NEW_PASSWORD, Person, mail_token, person, records, row
from tests.service import Service
from users.repository import one_time_tokens
from users.rules import passwords
from users.rules.one_time_tokens import Purpose

Use = Callable[[str], bool]


def use_for_reset(token: str) -> bool:
    new_hash = passwords.hash_password(NEW_PASSWORD)
    return one_time_tokens.use_for_reset(token, new_hash, [], at=datetime.now(UTC))


def use_for_verification(token: str) -> bool:
    return one_time_tokens.use_for_verification(token, [], at=datetime.now(UTC))


USES: dict[Purpose, Use] = {"password_reset": use_for_reset, "verification": use_for_verification}
OTHER: dict[Purpose, Purpose] = {"password_reset": "verification", "verification": "password_reset"}


def is_untouched(service: Service, who: Person) -> bool:
    stored = row(service, who.id)
    return stored["verified_at"] is None and passwords.verify_password(stored["secret"], who.secret)


@pytest.fixture
def ada(service: Service) -> Person:
    return person(service, verified=False)


@pytest.mark.parametrize("purpose", USES)
def test_s22_a_token_that_is_good(service: Service, ada: Person, purpose: Purpose) -> None:
    assert USES[purpose](mail_token(service, ada, purpose))
    assert not is_untouched(service, ada)


@pytest.mark.parametrize("purpose", USES)
def test_s23_a_token_of_the_other_purpose(service: Service, ada: Person, purpose: Purpose) -> None:
    token = mail_token(service, ada, OTHER[purpose])
    assert not USES[purpose](token)
    assert is_untouched(service, ada)
    assert USES[OTHER[purpose]](token), "the token is still unused"


@pytest.mark.parametrize("purpose", USES)
def test_s22_a_token_that_has_expired(service: Service, ada: Person, purpose: Purpose) -> None:
    assert not USES[purpose](mail_token(service, ada, purpose, lifetime="-1 second"))
    assert is_untouched(service, ada)


@pytest.mark.parametrize("purpose", USES)
def test_s24_a_token_that_was_used(service: Service, ada: Person, purpose: Purpose) -> None:
    token = mail_token(service, ada, purpose)
    service.execute("UPDATE users_one_time_tokens SET used_at = now() WHERE user_id = %s", ada.id)
    assert not USES[purpose](token)
    assert is_untouched(service, ada)


@pytest.mark.parametrize("status", [1, 2], ids=["disabled", "deleted"])
@pytest.mark.parametrize("purpose", USES)
def test_s22_an_account_that_is_not_enabled(service: Service, ada: Person, purpose: Purpose, status: int) -> None:
    token = mail_token(service, ada, purpose)
    service.execute("UPDATE users SET status = %s WHERE id = %s", status, ada.id)
    assert not USES[purpose](token)
    assert is_untouched(service, ada)


def test_s25_a_verification_of_an_address_that_was_changed(service: Service, ada: Person) -> None:
    token = mail_token(service, ada, "verification")
    service.execute("UPDATE users SET email = %s WHERE id = %s", f"new-{ada.email}", ada.id)
    assert not use_for_verification(token)
    assert is_untouched(service, ada)


def test_s22_a_token_that_expires_while_the_password_is_hashed(
    service: Service, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, real = mail_token(service, ada, "password_reset"), passwords.hash_password

    def expire_then_hash(password: str) -> str:
        service.execute("UPDATE users_one_time_tokens SET expires_at = now() WHERE user_id = %s", ada.id)
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", expire_then_hash)
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    answer = service.call("reset_password", body, token=token)
    assert answer.error == (400, "verification_expired")
    assert is_untouched(service, ada)
    assert not [each for each in records(service, ada.id, "event") if each["name"] == "user.reset_secret"]
