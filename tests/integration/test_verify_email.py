"""GET and POST /verify-email (contract §1.6.7, §4.1; decisions 14, 29)."""

import base64
import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.people import ZERO_TIME, Person, mail_token, mails, person, records, row
from tests.service import Answer, Service

PROGRAM = {"accept": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}


def verify(service: Service, token: str) -> Answer:
    """Verify as the SDKs do."""
    return service.call("verify_email", query=f"token={token}", headers=PROGRAM)


def press(service: Service, token: str) -> Answer:
    """Press the button of the page."""
    return service.call("verify_email", method="POST", raw=urlencode({"token": token}), headers=FORM)


def unverified(service: Service) -> tuple[Person, str]:
    ada = person(service, verified=False)
    return ada, mail_token(service, ada, "verification")


@pytest.mark.parametrize(
    ("header", "value"), [("accept", "application/json, */*"), ("content-type", "application/json")]
)
def test_a_program_verifies_at_once(service: Service, header: str, value: str) -> None:
    ada, token = unverified(service)
    before = datetime.now(UTC)
    answer = service.call("verify_email", query=f"token={token}", headers={header: value})
    assert (answer.status, answer.text) == (200, "")
    assert answer.headers["Content-Type"] == "application/json"
    stored = row(service, ada.id)
    assert before <= stored["verified_at"] <= datetime.now(UTC)
    assert stored["updated_at"] is None
    assert service.call("view_profile", token=ada.token).json["verified_at"] != ZERO_TIME


def test_the_event(service: Service) -> None:
    ada, token = unverified(service)
    verify(service, token)
    (payload,) = (each["payload"] for each in records(service, ada.id, "event") if each["name"] == "user.verify_email")
    assert set(payload) == {"user_id", "email", "verified_at", "operation", "request_id", "occurred_at"}
    assert (payload["user_id"], payload["email"]) == (ada.id, ada.email)
    assert datetime.fromisoformat(payload["verified_at"]) == row(service, ada.id)["verified_at"]


def test_a_person_gets_a_page_whose_button_verifies(service: Service) -> None:
    ada, token = unverified(service)
    page = service.call("verify_email", query=f"token={token}", headers={"accept": "text/html"})
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f'value="{token}"' in page.text
    assert row(service, ada.id)["verified_at"] is None
    done = press(service, token)
    assert done.status == 200
    assert done.headers["Content-Type"] == "text/html; charset=utf-8"
    assert row(service, ada.id)["verified_at"] is not None


def test_a_form_comes_as_base64_too(service: Service) -> None:
    """API Gateway encodes bodies that are neither text nor JSON."""
    ada, token = unverified(service)
    raw = base64.b64encode(urlencode({"token": token}).encode()).decode()
    answer = service.call("verify_email", method="POST", raw=raw, headers=FORM, isBase64Encoded=True)
    assert answer.status == 200
    assert row(service, ada.id)["verified_at"] is not None


def test_a_used_token(service: Service) -> None:
    """Upstream answers 500 with an empty body."""
    _, token = unverified(service)
    assert verify(service, token).status == 200
    answer = verify(service, token)
    assert answer.error == (400, "verification_expired")
    assert answer.json["message"] == "verification expired, please request a new one"


def test_an_expired_token(service: Service) -> None:
    ada = person(service, verified=False)
    token = mail_token(service, ada, "verification", lifetime="-1 second")
    assert verify(service, token).error == (400, "verification_expired")
    assert row(service, ada.id)["verified_at"] is None


def registered_a_while_ago(service: Service, **changes: Any) -> Person:
    """Register an unverified account whose first mail is delivered and no longer counts."""
    ada = person(service, verified=False, **changes)
    for table in ("users_outbox", "users_throttle"):
        service.execute(f"DELETE FROM {table} WHERE user_id = %s", ada.id)
    return ada


def renew(service: Service, token: str) -> Answer:
    """Press the button on the page of an expired link."""
    raw = urlencode({"token": token, "action": "renew"})
    return service.call("verify_email", method="POST", raw=raw, headers=FORM)


def test_the_page_of_an_expired_link_sends_a_new_one(service: Service) -> None:
    """At most one mail in a minute is sent, as after a login (S12)."""
    ada = registered_a_while_ago(service, metadata={"locale": "de"})
    old = mail_token(service, ada, "verification", lifetime="-1 second")
    expired = service.call("verify_email", query=f"token={old}", headers={"accept": "text/html"})
    assert (expired.status, expired.text.count('value="renew"')) == (400, 1)
    for _ in range(2):
        answer = renew(service, old)
        assert (answer.status, answer.headers["Content-Language"]) == (200, "de")
    assert mails(service, ada.id) == [("verification", ada.email)]


def test_a_new_link_goes_only_where_one_is_needed(service: Service) -> None:
    """The answer is the same for a verified address, an account with another address, and a disabled account."""
    changes = ["verified_at = now()", "email = 'moved-' || email", "status = 1", "email = email"]
    people = [registered_a_while_ago(service) for _ in changes]
    tokens = [mail_token(service, each, "verification", lifetime="-1 second") for each in people]
    for each, change in zip(people, changes, strict=True):
        service.execute(f"UPDATE users SET {change} WHERE id = %s", each.id)
    answers = [renew(service, token) for token in tokens]
    assert len({(answer.status, answer.text) for answer in answers}) == 1
    assert [mails(service, each.id) for each in people] == [[], [], [], [("verification", people[3].email)]]


def test_no_token_is_renewed_that_was_never_made(service: Service) -> None:
    answer = renew(service, "mgverify_" + "A" * 43)
    assert (answer.status, "<form" in answer.text) == (400, False)


def test_every_unexpired_token_is_good_until_one_is_used(service: Service) -> None:
    ada, older = unverified(service)
    newer = mail_token(service, ada, "verification")
    assert verify(service, older).status == 200
    assert verify(service, newer).error == (400, "verification_expired")


@pytest.mark.parametrize("token", ["garbage", "mgverify_" + "A" * 43, quote("é✓"), "%00x", "W10=", "bnVsbA==", "MQ=="])
def test_what_is_no_token(service: Service, token: str) -> None:
    """Upstream answers 422."""
    answer = verify(service, token)
    assert answer.status == 400
    assert answer.json["error"] in {"invalid_verification", "invalid_query"}


def test_no_token(service: Service) -> None:
    for query in ("", "token="):
        answer = service.call("verify_email", query=query, headers=PROGRAM)
        assert answer.error == (400, "invalid_verification")
        assert answer.json["message"] == "invalid verification"
    assert verify(service, "a&token=b").error == (400, "invalid_query")
    assert press(service, "").status == 400


def test_nesting_without_end_is_no_token(service: Service) -> None:
    token = base64.urlsafe_b64encode(b"[" * 6000).decode()
    assert verify(service, token).error == (400, "invalid_verification")


def test_a_person_is_told_on_a_page(service: Service) -> None:
    for answer in (press(service, "garbage"), service.call("verify_email", headers={"accept": "text/html"})):
        assert answer.status == 400
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("status", [1, 2], ids=["disabled", "deleted"])
def test_an_account_that_is_not_enabled_stays_unverified(service: Service, status: int) -> None:
    ada, token = unverified(service)
    service.execute("UPDATE users SET status = %s WHERE id = %s", status, ada.id)
    assert verify(service, token).status == 400
    assert row(service, ada.id)["verified_at"] is None


def test_an_expired_link_of_upstream_is_renewed(service: Service) -> None:
    ada = registered_a_while_ago(service)
    assert renew(service, upstream_link(service, ada, lifetime="-1 second")).status == 200
    assert mails(service, ada.id) == [("verification", ada.email)]


def upstream_link(service: Service, who: Person, *, lifetime: str = "1 hour", used: bool = False) -> str:
    """Insert a row as upstream writes it. Return the token of its mail (contract §4.1)."""
    otp = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    service.execute(
        "INSERT INTO users_verifications (user_id, email, otp, created_at, expires_at, used_at)"
        " VALUES (%s, %s, %s, now(), now() + %s::interval, CASE WHEN %s THEN now() END)",
        who.id, who.email, otp, lifetime, used,
    )  # fmt: skip
    parts = {"user_id": who.id, "email": who.email, "otp": otp}
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def test_a_link_that_upstream_sent_still_works(service: Service) -> None:
    ada = person(service, verified=False)
    older, newer = upstream_link(service, ada), upstream_link(service, ada)
    assert verify(service, older).status == 400
    assert verify(service, newer).status == 200
    assert row(service, ada.id)["verified_at"] is not None
    assert verify(service, newer).error == (400, "verification_expired")


@pytest.mark.parametrize(("lifetime", "used"), [("-1 second", False), ("1 hour", True)])
def test_an_upstream_link_that_is_over(service: Service, lifetime: str, *, used: bool) -> None:
    """Upstream answers 500 with an empty body (contract §9 B1)."""
    ada = person(service, verified=False)
    token = upstream_link(service, ada, lifetime=lifetime, used=used)
    assert verify(service, token).error == (400, "verification_expired")
    assert row(service, ada.id)["verified_at"] is None


def test_an_upstream_link_with_another_secret(service: Service) -> None:
    ada = person(service, verified=False)
    upstream_link(service, ada)
    parts = {"user_id": ada.id, "email": ada.email, "otp": "guessed"}
    token = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()
    assert verify(service, token).error == (400, "invalid_verification")
    assert row(service, ada.id)["verified_at"] is None


def test_the_page_escapes_what_it_shows(service: Service) -> None:
    """Upstream accepted any text that its parser read as an address (contract §1.7)."""
    ada = replace(person(service, verified=False), email="<script>alert(1)</script> <a@example.com>")
    page = service.call("verify_email", query=urlencode({"token": upstream_link(service, ada)}))
    assert page.status == 200
    assert "<script" not in page.text


def test_nobody_else_writes_on_the_page(service: Service) -> None:
    """The page shows no address from a token that the service did not make."""
    parts = {"user_id": "x", "email": "pay-me@example.com", "otp": "x"}
    token = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()
    page = service.call("verify_email", query=urlencode({"token": token}))
    assert page.status == 400
    assert "pay-me" not in page.text
