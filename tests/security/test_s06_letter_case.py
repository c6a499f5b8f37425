"""S6: names are equal in any letter case, and the database enforces that. S7: no username looks like an address."""

import uuid

import psycopg
import pytest

from tests.people import person, row
from tests.service import Service, registration
from users.peers import jwt


@pytest.mark.parametrize("case", [str.upper, str.title, str.swapcase])
def test_s06_login_in_any_letter_case_finds_the_same_account(service: Service, case: type[str]) -> None:
    user = service.register()
    for name in (user["email"], user["credentials"]["username"]):
        assert jwt.unverified_claims(service.log_in(case(name)))["sub"] == user["id"]


def test_s06_names_of_other_scripts_fold_too(service: Service) -> None:
    mark = uuid.uuid4().hex[:8]
    user = service.register(email=f"ÄÖ{mark}@example.com")
    assert jwt.unverified_claims(service.log_in(f"äö{mark}@EXAMPLE.com"))["sub"] == user["id"]
    assert service.call("register_user", registration(email=f"äÖ{mark}@example.com")).error == (409, "email_taken")


@pytest.mark.parametrize("column", ["email", "username"])
def test_s06_uniqueness_is_the_databases(service: Service, column: str) -> None:
    user, other = service.register(), service.register()
    name = (user["email"] if column == "email" else user["credentials"]["username"]).upper()
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        service.execute(f"UPDATE users SET {column} = %s WHERE id = %s", name, other["id"])
    assert caught.value.diag.constraint_name == f"users_{column}_folded_key"


ADDRESSES = ["ada@example.com", "a@b", "ada.l@example.com", "@ada", "ada@"]


@pytest.mark.parametrize("username", ADDRESSES)
def test_s07_a_username_like_an_address_is_refused_at_registration(service: Service, username: str) -> None:
    body = registration()
    body["credentials"]["username"] = username
    assert service.call("register_user", body).error == (400, "invalid_username")


@pytest.mark.parametrize("username", ADDRESSES)
def test_s07_a_username_like_an_address_is_refused_at_change(service: Service, username: str) -> None:
    ada = person(service)
    answer = service.call("update_username", {"username": username}, token=ada.token, user_id=ada.id)
    assert answer.error == (400, "invalid_username")
    assert row(service, ada.id)["username"] == ada.username
