"""S62 An account that an administrator makes belongs to the owner of its mailbox, by a link that works once."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from background.removal.due import count_due
from local.parts.mail import MailServer
from tests.deliveries import Mail, mails_to
from tests.parallel import Environments
from tests.people import (
    NEW_PASSWORD,
    Person,
    administrator,
    deliver,
    is_alive,
    log_in,
    logged_in,
    mail_token,
    mails,
    person,
    records,
    row,
    token_of_kind,
)
from tests.service import PASSWORD, Answer, Service, registration
from users.repository.one_time_tokens import use_for_reset
from users.rules import passwords

FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}
WEEK = 7 * 24 * 3600


def without_secret(**changes: Any) -> dict[str, Any]:
    body = registration(**changes)
    del body["credentials"]["secret"]
    return body


def invite(service: Service, body: dict[str, Any] | None = None, **changes: Any) -> Person:
    """Make an account as an administrator, without a password unless the body has one."""
    body = body or without_secret(**changes)
    answer = service.call("register_user", body, token=administrator(service).token)
    assert answer.status == 201, answer.text
    credentials = body["credentials"]
    return Person(
        answer.json["id"], body["email"], credentials["username"], credentials.get("secret", ""), "", ""
    )  # fmt: skip


def accept(service: Service, token: str, password: str = NEW_PASSWORD) -> Answer:
    return service.call("reset_password", {"password": password, "confirm_password": password}, token=token)


def page(service: Service, token: str, method: str = "GET") -> Answer:
    return service.call("reset_password", method=method, query=f"token={token}", headers={"accept": "text/html"})


def submit(service: Service, **fields: str) -> Answer:
    return service.call("reset_password", method="POST", raw=urlencode(fields), headers=FORM)


def invitations(mail_server: MailServer, who: Person) -> list[Mail]:
    return [mail for mail in mails_to(mail_server.url, who.email) if mail.subject.startswith("Your new account")]


def event_names(service: Service, who: Person) -> list[str]:
    return [each["name"] for each in records(service, who.id, "event")]


# --- inviting callers


def test_s62_an_account_without_a_password_lets_nobody_in(service: Service) -> None:
    ada = invite(service)
    stored = row(service, ada.id)
    assert (stored["secret"], stored["verified_at"], stored["self_registered"]) == (None, None, False)
    assert mails(service, ada.id) == [("invitation", ada.email)]
    for password in (PASSWORD, " ", "None", "null"):
        assert log_in(service, ada.email, password).error == (401, "invalid_credentials")
    assert log_in(service, ada.email, "").error == (400, "missing_password")


@pytest.mark.parametrize("caller", ["nobody", "undefined", "a.b.c", "user", "pat", "api_key", "refresh", "recovery"])
@pytest.mark.parametrize("open_to_all", ["true", "false"])
def test_s62_only_an_administrator_leaves_the_password_out(service: Service, caller: str, open_to_all: str) -> None:
    """An administrator's session may, and none of its other tokens."""
    tokens = {"nobody": None, "undefined": "undefined", "a.b.c": "a.b.c"}
    if caller == "user":
        token = person(service).token
    else:
        token = tokens[caller] if caller in tokens else token_of_kind(service, administrator(service).id, caller)
    body = without_secret()
    with service.configured(MG_USERS_ALLOW_SELF_REGISTER=open_to_all):
        answer = service.call("register_user", body, token=token)
    assert answer.status == 400 if open_to_all == "true" else answer.status in {401, 403}
    assert service.execute("SELECT 1 FROM users WHERE email = %s", body["email"]) == []


@pytest.mark.parametrize("kind", ["pat", "api_key", "refresh", "of a user"])
def test_s62_by_any_other_token_it_is_a_self_registration(service: Service, kind: str) -> None:
    """Where everybody may register, the service ignores the token."""
    user = kind == "of a user"
    token = person(service).token if user else token_of_kind(service, administrator(service).id, kind)
    made = service.call("register_user", registration(), token=token)
    assert made.status == 201
    assert row(service, made.json["id"])["self_registered"] is True
    (event,) = records(service, made.json["id"], "event")
    assert event["payload"]["super_admin"] is False


def test_s62_an_administrator_invites_where_everybody_may_register(service: Service) -> None:
    ada = invite(service, registration())
    assert row(service, ada.id)["self_registered"] is False
    assert mails(service, ada.id) == [("invitation", ada.email)]
    (event,) = records(service, ada.id, "event")
    assert event["payload"]["super_admin"] is True
    assert log_in(service, ada.email, ada.secret).status == 201, "the first password works until then"


def test_s62_an_account_that_is_not_enabled_gets_no_link(service: Service) -> None:
    ada = invite(service, status="disabled")
    assert mails(service, ada.id) == []


def test_s62_no_mail_where_registrations_send_none_and_a_password_is_given(service: Service) -> None:
    with service.configured(MG_USERS_VERIFY_ON_REGISTER="false"):
        assert mails(service, invite(service, registration()).id) == []
        assert len(mails(service, invite(service).id)) == 1


# --- the link


def test_s62_the_link_sets_the_password_and_verifies_the_address(service: Service, mail_server: MailServer) -> None:
    ada = invite(service)
    service.deliver()
    (mail,) = invitations(mail_server, ada)
    assert mail.link.startswith("http://localhost/password/reset?token=mginvite_")
    assert "7 days" in mail.text
    assert f"Username: {ada.username}" in mail.text
    (stored,) = service.execute(
        "SELECT purpose, extract(epoch FROM expires_at - created_at)::int AS life FROM users_one_time_tokens"
        " WHERE user_id = %s", ada.id,
    )  # fmt: skip
    assert stored == {"purpose": "invitation", "life": WEEK}
    for method in ("GET", "HEAD"):
        form = page(service, mail.token, method)
        assert form.status == 200
        assert "<title>Set your password" in form.text
        assert ada.username in form.text
        assert ada.email in form.text
    assert row(service, ada.id)["secret"] is None
    wrong = submit(service, token=mail.token, password=NEW_PASSWORD, confirm_password="other")
    assert (wrong.status, "Set your password" in wrong.text) == (400, True)
    done = submit(service, token=mail.token, password=NEW_PASSWORD, confirm_password=NEW_PASSWORD)
    assert done.status == 200
    assert "Your account is ready" in done.text
    stored = row(service, ada.id)
    assert stored["verified_at"] == stored["secret_changed_at"]
    assert event_names(service, ada) == ["user.reset_secret", "user.verify_email"]
    owner = logged_in(service, ada, NEW_PASSWORD)
    assert service.call("view_user", token=owner.token, user_id=owner.id).status == 200


def test_s62_whoever_had_the_first_password_has_nothing_any_more(service: Service) -> None:
    """The administrator who chose the first password, and any person who has it, is logged out."""
    ada = logged_in(service, invite(service, registration()))
    assert accept(service, mail_token(service, ada, "invitation")).status == 201
    assert not is_alive(service, ada.token)
    assert log_in(service, ada.email, ada.secret).status == 401


def test_s62_it_is_good_once_and_ends_all_others(service: Service, environments: Environments) -> None:
    ada = invite(service)
    tokens = [mail_token(service, ada, "invitation") for _ in range(2)]
    reset = mail_token(service, ada, "password_reset")
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    calls = [{"operation": "reset_password", "body": body, "token": tokens[n % 2]} for n in range(20)]
    assert sorted(each.status for each in environments.call(service, calls)) == [201] + [400] * 19
    assert event_names(service, ada).count("user.verify_email") == 1
    for token in (*tokens, reset):
        assert accept(service, token, "yet another 1 horse").error == (400, "verification_expired")
        assert page(service, token).status == 400


def test_s62_it_ends(service: Service) -> None:
    ada = invite(service)
    over = mail_token(service, ada, "invitation", lifetime="-1 second")
    assert accept(service, over).error == (400, "verification_expired")
    assert row(service, ada.id)["secret"] is None


def test_s62_a_new_password_or_address_ends_it(service: Service) -> None:
    ada = logged_in(service, invite(service, registration()))
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", ada.id)
    token = mail_token(service, ada, "invitation")
    change = {"old_secret": ada.secret, "new_secret": NEW_PASSWORD}
    assert service.call("update_user_secret", change, token=ada.token).status == 200
    assert accept(service, token).error == (400, "verification_expired")
    bob, boss = invite(service), administrator(service)
    token = mail_token(service, bob, "invitation")
    moved = service.call("update_user_email", {"email": f"new-{bob.email}"}, token=boss.token, user_id=bob.id)
    assert moved.status == 200
    assert accept(service, token).error == (400, "verification_expired")
    assert row(service, bob.id)["secret"] is None


def test_s62_a_link_for_another_address_sets_no_password(service: Service) -> None:
    """The link is refused, also if the address changes between its check and its use."""
    ada = invite(service)
    token = mail_token(service, ada, "invitation", email=f"old-{ada.email}")
    assert accept(service, token).status == 400
    assert not use_for_reset(token, passwords.hash_password(NEW_PASSWORD), [], at=datetime.now(UTC))
    assert row(service, ada.id)["secret"] is None


def test_s62_it_is_no_other_kind_of_token(service: Service) -> None:
    ada = invite(service)
    token = mail_token(service, ada, "invitation")
    as_program = {"accept": "application/json", "content-type": "application/json"}
    assert service.call("verify_email", query=f"token={token}", headers=as_program).error == (
        *(400, "invalid_verification"),
    )
    for operation in ("view_profile", "refresh_token", "list_refresh_tokens", "send_verification"):
        assert service.call(operation, token=token, headers=as_program).error == (401, "unauthenticated")
    for kind in ("invitation", "recovery", "access"):  # Auth's own tokens
        assert accept(service, token_of_kind(service, ada.id, kind)).error == (400, "invalid_verification")
    assert accept(service, token).status == 201


# --- another invitation


def test_s62_whoever_asks_gets_the_invitation_again(service: Service, mail_server: MailServer) -> None:
    """The owner or an administrator asks by a reset request. The older link ends."""
    ada = invite(service)
    service.deliver()
    assert service.call("request_password_reset", {"email": ada.email.upper()}).status == 201
    service.deliver()
    first, second = invitations(mail_server, ada)
    assert accept(service, first.token).error == (400, "verification_expired")
    assert accept(service, second.token).status == 201
    assert [mail.subject for mail in mails_to(mail_server.url, ada.email)].count("Password Reset Request") == 0


def test_s62_whoever_has_a_password_gets_a_reset_mail(service: Service, mail_server: MailServer) -> None:
    ada = invite(service, registration())
    external = person(service)
    service.execute("UPDATE users SET secret = NULL, auth_provider = 'google' WHERE id = %s", external.id)
    for who in (ada, external):
        service.call("request_password_reset", {"email": who.email})
        service.deliver()
        assert [mail.subject for mail in mails_to(mail_server.url, who.email)][-1] == "Password Reset Request"


@pytest.mark.parametrize("change", ["verified_at = now()", "email = 'new-' || email", "status = 1"])
def test_s62_an_invitation_that_makes_no_sense_any_more_is_not_sent(
    service: Service, mail_server: MailServer, change: str
) -> None:
    ada = invite(service)
    service.execute(f"UPDATE users SET {change} WHERE id = %s", ada.id)
    deliver("mail")
    assert invitations(mail_server, ada) == []
    assert mails_to(mail_server.url, f"new-{ada.email}") == []


def test_s62_an_invited_account_is_never_removed_for_being_unverified(own_service: Service) -> None:
    ada = invite(own_service)
    own_service.execute(
        "UPDATE users SET created_at = now() - interval '1 year', verification_reminded_at = now() - interval '1 year'"
        " WHERE id = %s", ada.id,
    )  # fmt: skip
    assert count_due()["unverified"] == 0
