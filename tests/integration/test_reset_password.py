"""PUT /password/reset, and its page (contract §1.6.23, §4.2; decisions 8, 14)."""

import base64
import re
from typing import Any
from urllib.parse import urlencode

import pytest

from local.parts.mail import MailServer
from tests.deliveries import mails_to
from tests.people import (
    NEW_PASSWORD,
    event,
    is_alive,
    log_in,
    logged_in,
    mail_token,
    mails,
    person,
    records,
    refresh,
    row,
)
from tests.service import Answer, Service
from users.rules.one_time_tokens import Purpose

FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}


def reset(service: Service, bearer: str | None, password: Any = NEW_PASSWORD, **body: Any) -> Answer:
    whole = {"password": password, "confirm_password": password} | body
    return service.call("reset_password", whole, token=bearer)


def page(service: Service, query: str) -> Answer:
    return service.call("reset_password", method="GET", query=query, headers={"accept": "text/html"})


def submit(service: Service, **fields: str) -> Answer:
    return service.call("reset_password", method="POST", raw=urlencode(fields), headers=FORM)


def test_a_new_password_by_the_token_of_a_mail(service: Service) -> None:
    ada = person(service)
    answer = reset(service, mail_token(service, ada, "password_reset"))
    assert (answer.status, answer.text) == (201, "{}\n")
    assert log_in(service, ada.email, ada.secret).status == 401
    assert logged_in(service, ada, NEW_PASSWORD).token
    stored = row(service, ada.id)
    assert stored["updated_by"] == ada.id
    assert stored["updated_at"] == stored["secret_changed_at"]


@pytest.mark.parametrize("form", ["bearer", "body", "both"])
def test_the_token_as_bearer_or_in_the_body(service: Service, form: str) -> None:
    """Upstream ignores the token in the body (SDKs send both)."""
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    in_body = {"token": token} if form != "bearer" else {}
    assert reset(service, token if form != "body" else None, **in_body).status == 201


def test_without_a_token(service: Service) -> None:
    assert reset(service, None).error == (401, "missing_token")
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD, "token": ""}
    assert service.call("reset_password", body).error == (401, "missing_token")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"password": "", "confirm_password": ""}, "missing_password", "missing password"),
        ({"password": "short"}, "missing_confirmation", "missing conf password"),
        ({"password": "short", "confirm_password": "other"}, "passwords_differ", "invalid reset password"),
        ({"password": "a", "confirm_password": "a"}, "weak_password", "password does not meet the requirements"),
        ({"password": "password123", "confirm_password": "password123"}, "common_password", "password is too common"),
        (
            {"password": "x" * 1025, "confirm_password": "x" * 1025},
            "password_too_long",
            "password is longer than 1024 bytes",
        ),
        ({"password": 1}, "malformed_body", "request body is not a valid JSON, expecting a valid JSON"),
    ],
)
def test_what_is_checked_in_which_order(service: Service, body: dict[str, Any], code: str, message: str) -> None:
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    for bearer in (token, "garbage"):
        answer = service.call("reset_password", body, token=bearer)
        assert answer.error == (400, code)
        assert answer.json["message"] == message
    assert reset(service, token).status == 201


def test_a_password_that_tells_the_name_leaves_the_token(service: Service) -> None:
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    assert reset(service, token, f"my {ada.username} 1").error == (400, "password_contains_name")
    assert reset(service, token).status == 201


def test_another_content_type(service: Service) -> None:
    answer = service.call("reset_password", raw="{}", token="x", headers={"content-type": "text/plain"})
    assert answer.error == (415, "unsupported_content_type")


def test_a_used_and_an_expired_token(service: Service) -> None:
    """Upstream's token works until it expires (contract §9 S4)."""
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    assert reset(service, token).status == 201
    old = mail_token(service, ada, "password_reset", lifetime="-1 second")
    for over in (token, old):
        answer = reset(service, over, "yet another 1 horse")
        assert answer.error == (400, "verification_expired")
        assert answer.json["message"] == "verification expired, please request a new one"
    assert log_in(service, ada.email, NEW_PASSWORD).status == 201


@pytest.mark.parametrize("token", ["garbage", "mgreset_" + "A" * 43, "a.b.c", "pat_x"])
def test_what_is_no_token(service: Service, token: str) -> None:
    answer = reset(service, token)
    assert answer.error == (400, "invalid_verification")
    assert answer.json["message"] == "invalid verification"


@pytest.mark.parametrize("status", [1, 2], ids=["disabled", "deleted"])
def test_an_account_that_is_not_enabled(service: Service, status: int) -> None:
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    before = row(service, ada.id)["secret"]
    service.execute("UPDATE users SET status = %s WHERE id = %s", status, ada.id)
    assert reset(service, token).status == 400
    assert row(service, ada.id)["secret"] == before


def test_an_external_account_gets_a_password(service: Service) -> None:
    ada = person(service)
    service.execute("UPDATE users SET auth_provider = 'google', secret = '' WHERE id = %s", ada.id)
    assert reset(service, mail_token(service, ada, "password_reset")).status == 201
    assert log_in(service, ada.email, NEW_PASSWORD).status == 201


def test_it_ends_sessions_tells_the_address_and_logs_nobody_in(service: Service) -> None:
    ada = person(service)
    service.execute("DELETE FROM users_outbox WHERE user_id = %s", ada.id)
    reset(service, mail_token(service, ada, "password_reset"))
    assert not is_alive(service, ada.token)
    assert refresh(service, ada.refresh_token).status == 401
    assert mails(service, ada.id) == [("password_changed", ada.email)]
    assert event(service, ada.id, "user.reset_secret") == {}
    assert len(records(service, ada.id, "revocation")) == 1


def test_the_page_of_the_link(service: Service) -> None:
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    form = page(service, f"token={token}")
    assert form.status == 200
    assert form.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f'value="{token}"' in form.text
    before = row(service, ada.id)["secret"]
    done = submit(service, token=token, password=NEW_PASSWORD, confirm_password=NEW_PASSWORD)
    assert done.status == 200
    assert done.headers["Content-Type"] == "text/html; charset=utf-8"
    assert row(service, ada.id)["secret"] != before
    assert not is_alive(service, ada.token)
    assert log_in(service, ada.email, NEW_PASSWORD).status == 201


def test_a_form_comes_as_base64_too(service: Service) -> None:
    """API Gateway encodes bodies that are neither text nor JSON."""
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    fields = urlencode({"token": token, "password": "ü + & 100% horse", "confirm_password": "ü + & 100% horse"})
    raw = base64.b64encode(fields.encode()).decode()
    answer = service.call("reset_password", method="POST", raw=raw, headers=FORM, isBase64Encoded=True)
    assert answer.status == 200
    assert log_in(service, ada.email, "ü + & 100% horse").status == 201


@pytest.mark.parametrize(
    ("password", "confirmation"), [("", ""), (NEW_PASSWORD, ""), (NEW_PASSWORD, "other"), ("short", "short")]
)
def test_the_form_is_shown_again(service: Service, password: str, confirmation: str) -> None:
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    again = submit(service, token=token, password=password, confirm_password=confirmation)
    assert again.status == 400
    assert f'value="{token}"' in again.text
    assert 'role="alert"' in again.text
    assert NEW_PASSWORD not in again.text
    assert submit(service, token=token, password=NEW_PASSWORD, confirm_password=NEW_PASSWORD).status == 200


def test_a_link_that_is_over(service: Service) -> None:
    """The page of a link that was valid once has a single form, which asks for a new mail."""
    ada = person(service)
    old = mail_token(service, ada, "password_reset", lifetime="-1 second")
    fields = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    for answer, forms in (
        (page(service, f"token={old}"), 1),
        (page(service, "token=garbage"), 0),
        (page(service, ""), 0),
        (page(service, "token=a&token=b"), 0),
        (submit(service, token=old, **fields), 1),
        (submit(service, token="", **fields), 0),
    ):
        assert answer.status == 400
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.text.count("<form") == answer.text.count('value="renew"') == forms
        assert not re.search('<input type="password"', answer.text)


@pytest.mark.parametrize("purpose", ["password_reset", "invitation"])
def test_the_page_of_an_expired_link_sends_a_new_one(
    service: Service, mail_server: MailServer, purpose: Purpose
) -> None:
    ada = person(service)
    if purpose == "invitation":
        service.execute("UPDATE users SET secret = NULL, verified_at = NULL WHERE id = %s", ada.id)
    old = mail_token(service, ada, purpose, lifetime="-1 second")
    answer = submit(service, token=old, action="renew")
    assert (answer.status, "Check your mailbox" in answer.text) == (200, True)
    service.deliver()
    (mail,) = [mail for mail in mails_to(mail_server.url, ada.email) if "reset?token=" in mail.text]
    assert page(service, f"token={mail.token}").status == 200


def test_a_new_link_goes_only_where_the_old_one_went(service: Service) -> None:
    """The answer is always the same, but a disabled account and another address get no mail."""
    ada, grace, joan = (person(service) for _ in range(3))
    tokens = [mail_token(service, each, "password_reset", lifetime="-1 second") for each in (ada, grace, joan)]
    service.execute("UPDATE users SET email = 'moved-' || email WHERE id = %s", ada.id)
    service.execute("UPDATE users SET status = 1 WHERE id = %s", grace.id)
    answers = [submit(service, token=token, action="renew") for token in tokens]
    assert len({(answer.status, answer.text) for answer in answers}) == 1
    wishes = service.execute("SELECT payload->>'email' AS email FROM users_outbox WHERE channel = 'reset_request'")
    asked = {wish["email"] for wish in wishes} & {ada.email, f"moved-{ada.email}", grace.email, joan.email}
    assert asked == {joan.email}


def test_the_pages_speak_the_language_of_the_mail(service: Service) -> None:
    """The account's language counts, whatever the browser prefers."""
    ada = person(service, metadata={"locale": "de-AT"})
    token = mail_token(service, ada, "password_reset")
    for answer in (
        page(service, f"token={token}"),
        submit(service, token=token, password=NEW_PASSWORD, confirm_password="other"),
        submit(service, token=token, password=NEW_PASSWORD, confirm_password=NEW_PASSWORD),
        page(service, f"token={token}"),
        submit(service, token=token, action="renew"),
    ):
        assert answer.headers["Content-Language"] == "de", answer.text


def test_a_program_that_gets_is_answered_in_json(service: Service) -> None:
    answer = service.call("reset_password", method="GET", query="token=x", headers={"accept": "application/json"})
    assert answer.error == (400, "invalid_verification")


def test_a_mail_asked_for_before_a_change_of_the_password_is_not_sent_after_it(
    service: Service, mail_server: MailServer
) -> None:
    user = service.register()
    service.call("request_password_reset", {"email": user["email"]})
    service.execute("UPDATE users SET secret_changed_at = now() + interval '1 hour' WHERE id = %s", user["id"])
    service.deliver()
    assert "Password Reset Request" not in [mail.subject for mail in mails_to(mail_server.url, user["email"])]
