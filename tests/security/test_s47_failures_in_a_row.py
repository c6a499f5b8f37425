"""S47: after too many wrong passwords in a row an account accepts its password only from addresses of past logins."""

import uuid
from typing import Any

import pytest

from tests.parallel import Environments
from tests.people import (
    NEW_PASSWORD,
    Person,
    administrator,
    log_in,
    logged_in,
    mail_token,
    mails,
    person,
    row,
)
from tests.service import Answer, Service

MOST = 100


def address() -> str:
    return str(uuid.uuid4())


def fail(service: Service, who: Person, times: int, source: str = "") -> None:
    """Send wrong passwords. The counters of the limits are deleted before each, so that no limit is reached."""
    for _ in range(times):
        service.execute("DELETE FROM users_throttle WHERE user_id = %s", who.id)
        answer = log_in(service, who.email, "wrong password", address=source or address())
        assert answer.error == (401, "invalid_credentials")
    service.execute("DELETE FROM users_throttle WHERE user_id = %s", who.id)


def already_failed(service: Service, who: Person, times: int) -> None:
    """Store this many failures in a row, without making them."""
    service.execute(
        "INSERT INTO users_login_failures (user_id, failures) VALUES (%s, %s)"
        " ON CONFLICT (user_id) DO UPDATE SET failures = excluded.failures",
        who.id, times,
    )  # fmt: skip


def restrict(service: Service, who: Person) -> None:
    already_failed(service, who, MOST - 1)
    fail(service, who, 1)
    assert failures(service, who)["restricted_at"] is not None


def failures(service: Service, who: Person) -> dict[str, Any]:
    found = service.execute("SELECT failures, restricted_at FROM users_login_failures WHERE user_id = %s", who.id)
    return found[0] if found else {"failures": 0, "restricted_at": None}


def notices(service: Service, who: Person) -> list[str]:
    return [email for name, email in mails(service, who.id) if name == "logins_restricted"]


def is_let_in(service: Service, who: Person, source: str, secret: str = "") -> bool:
    answer = log_in(service, who.email, secret or who.secret, address=source)
    assert answer.status in {201, 401}
    return answer.status == 201


@pytest.fixture
def home() -> str:
    return address()


@pytest.fixture
def ada(service: Service, home: str) -> Person:
    """Return an account that lately logged in from home."""
    ada = person(service)
    assert is_let_in(service, ada, home)
    return ada


def test_s47_a_hundred_failures_in_a_row(service: Service, ada: Person, home: str) -> None:
    fail(service, ada, MOST - 1)
    assert (failures(service, ada)["failures"], failures(service, ada)["restricted_at"]) == (MOST - 1, None)
    assert notices(service, ada) == []
    fail(service, ada, 1)
    assert not is_let_in(service, ada, address())
    assert is_let_in(service, ada, home)
    assert notices(service, ada) == [ada.email]


def test_s47_a_right_login_before_that_begins_anew(service: Service, ada: Person, home: str) -> None:
    for source in (home, address()):
        already_failed(service, ada, MOST - 1)
        assert is_let_in(service, ada, source)
        assert failures(service, ada)["failures"] == 0
    fail(service, ada, 1)
    assert is_let_in(service, ada, address())


def test_s47_a_right_login_from_home_does_not_end_it(service: Service, ada: Person, home: str) -> None:
    """Otherwise a stranger could continue to guess after each of the owner's logins."""
    restrict(service, ada)
    assert is_let_in(service, ada, home)
    assert not is_let_in(service, ada, address())


def test_s47_the_answer_is_that_to_a_wrong_password(service: Service, ada: Person) -> None:
    restrict(service, ada)
    source, same = address(), {"x-request-id": "same"}
    right = log_in(service, ada.email, ada.secret, address=source, headers=same)
    wrong = log_in(service, ada.email, "wrong password", address=source, headers=same)
    unknown = log_in(service, f"{uuid.uuid4()}@example.com", "x", address=source, headers=same)
    assert right == wrong == unknown
    assert right.error == (401, "invalid_credentials")


def test_s47_the_mail_is_one(service: Service, ada: Person) -> None:
    restrict(service, ada)
    fail(service, ada, 3)
    assert not is_let_in(service, ada, address())
    assert notices(service, ada) == [ada.email]
    assert failures(service, ada)["failures"] == MOST


@pytest.mark.long
def test_s47_a_stranger_does_not_lock_an_owner_out_at_home(service: Service, ada: Person, home: str) -> None:
    """Guesses never stop the owner: neither with its names, nor from its network, nor while restricted."""
    for _ in range(2):
        restrict(service, ada) if failures(service, ada)["restricted_at"] is None else fail(service, ada, 40)
        for name in (ada.email, ada.username):
            for _ in range(6):
                stranger = address()
                for _ in range(6):
                    log_in(service, name, "wrong password", address=stranger)
        assert is_let_in(service, ada, home)


def test_s47_an_address_of_long_ago_is_not_known(service: Service, ada: Person, home: str) -> None:
    restrict(service, ada)
    service.execute(
        "UPDATE users_known_addresses SET logged_in_at = now() - interval '31 days' WHERE user_id = %s", ada.id
    )
    assert not is_let_in(service, ada, home)


def test_s47_a_reset_ends_it(service: Service, ada: Person) -> None:
    restrict(service, ada)
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    assert service.call("reset_password", body, token=mail_token(service, ada, "password_reset")).status == 201
    assert is_let_in(service, ada, address(), NEW_PASSWORD)


def test_s47_an_administrator_ends_it(service: Service, ada: Person) -> None:
    restrict(service, ada)
    boss = administrator(service)
    assert service.call("disable_user", token=boss.token, user_id=ada.id).status == 200
    assert not is_let_in(service, ada, address())
    assert service.call("enable_user", token=boss.token, user_id=ada.id).status == 200
    assert is_let_in(service, ada, address())


def test_s47_then_it_may_begin_again_with_another_mail(service: Service, ada: Person) -> None:
    restrict(service, ada)
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    assert service.call("reset_password", body, token=mail_token(service, ada, "password_reset")).status == 201
    fail(service, ada, 1)
    assert failures(service, ada)["failures"] == 1
    restrict(service, ada)
    assert notices(service, ada) == [ada.email] * 2


def change(service: Service, who: Person, old: str, source: str) -> Answer:
    body = {"old_secret": old, "new_secret": NEW_PASSWORD}
    return service.call("update_user_secret", body, token=who.token, address=source)


def test_s47_a_wrong_password_of_a_change_counts_alike(service: Service, ada: Person, home: str) -> None:
    already_failed(service, ada, MOST - 1)
    assert change(service, ada, "wrong password", address()).error == (403, "wrong_password")
    assert notices(service, ada) == [ada.email]
    assert not is_let_in(service, ada, address())
    assert change(service, ada, ada.secret, address()).error == (403, "wrong_password")
    assert change(service, ada, ada.secret, home).status == 200
    assert is_let_in(service, ada, address(), NEW_PASSWORD), "a guess at the old password no longer counts"


def test_s47_failures_at_once_are_all_counted(service: Service, ada: Person, environments: Environments) -> None:
    """One of the simultaneous failures is the hundredth, and only one mail is sent."""
    already_failed(service, ada, MOST - 20)
    body = {"identity": ada.email, "secret": "wrong password"}
    calls = [{"operation": "issue_token", "body": body, "address": address()} for _ in range(24)]
    assert {answer.status for answer in environments.call(service, calls)} == {401}
    assert failures(service, ada)["failures"] == MOST
    assert notices(service, ada) == [ada.email]


def test_s47_a_login_that_was_begun_before_does_not_count(
    service: Service, ada: Person, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right guess comes together with the hundredth failure."""
    from users.rules import passwords

    real = passwords.verify_password

    def restrict_meanwhile(stored_hash: str, password: str) -> bool:
        right = real(stored_hash, password)
        if right:
            service.execute(
                "INSERT INTO users_login_failures (user_id, failures, restricted_at) VALUES (%s, 100, now())"
                " ON CONFLICT DO NOTHING",
                ada.id,
            )
        return right

    monkeypatch.setattr(passwords, "verify_password", restrict_meanwhile)
    assert not is_let_in(service, ada, address())
    assert is_let_in(service, ada, home)


def test_s47_a_right_password_that_is_not_taken_is_no_failure(service: Service, ada: Person) -> None:
    """The account's limit is already reached by its other name, so no password is checked."""
    source = address()
    for _ in range(5):
        assert log_in(service, ada.email, "wrong password", address=source).status == 401
    assert failures(service, ada)["failures"] == 5
    for secret in (ada.secret, "wrong password"):
        assert log_in(service, ada.username, secret, address=source).status == 401
    assert failures(service, ada)["failures"] == 5


@pytest.mark.parametrize("state", ["status = 1", "status = 2", "secret = NULL", "secret = ''"])
def test_s47_accounts_that_nobody_logs_in_to(service: Service, ada: Person, state: str) -> None:
    service.execute(f"UPDATE users SET {state} WHERE id = %s", ada.id)
    already_failed(service, ada, MOST - 1)
    fail(service, ada, 1)
    assert notices(service, ada) == []


def test_s47_the_setting(service: Service, ada: Person) -> None:
    with service.configured(MG_USERS_MAX_FAILED_LOGINS="3"):
        fail(service, ada, 3)
        assert not is_let_in(service, ada, address())
    with service.configured(MG_USERS_MAX_FAILED_LOGINS="0"):
        assert is_let_in(service, ada, address())
        bob = person(service)
        already_failed(service, bob, MOST)
        fail(service, bob, 1)
        assert is_let_in(service, bob, address())
        assert notices(service, bob) == []


def test_s47_a_setting_that_is_lowered(service: Service, ada: Person) -> None:
    """The next failure is above the new limit."""
    already_failed(service, ada, 50)
    with service.configured(MG_USERS_MAX_FAILED_LOGINS="10"):
        fail(service, ada, 1)
        assert notices(service, ada) == [ada.email]
        assert not is_let_in(service, ada, address())


def test_s47_the_row_goes_with_its_account(service: Service, ada: Person) -> None:
    restrict(service, ada)
    boss = administrator(service)
    assert service.call("delete_user", token=boss.token, user_id=ada.id, query="purge=true").status == 204
    assert service.execute("SELECT 1 FROM users_login_failures WHERE user_id = %s", ada.id) == []


def test_s47_another_account_is_its_own(service: Service, ada: Person) -> None:
    bob = person(service)
    restrict(service, ada)
    assert is_let_in(service, bob, address())
    assert logged_in(service, bob).token
    assert row(service, bob.id)["status"] == 0
