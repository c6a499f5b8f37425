"""S55 A registration with another person's address gains nothing: the owner removes the account, or takes it."""

import base64
import json
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlencode

import psycopg
import pytest

from local.parts.mail import MailServer
from tests.deliveries import mails_to
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
    person,
    records,
    refresh,
    relations,
    row,
)
from tests.service import Answer, Service, eventually, handler, lambda_context, registration
from users.repository.one_time_tokens import use_for_verification
from users.rules.one_time_tokens import Purpose

FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}
PROGRAM = {"accept": "application/json"}
REMOVE = 'value="remove"'
WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def page(service: Service, token: str, method: str = "GET") -> Answer:
    return service.call("verify_email", method=method, query=f"token={token}", headers={"accept": "text/html"})


def press(service: Service, token: str, **action: str) -> Answer:
    return service.call("verify_email", method="POST", raw=urlencode({"token": token, **action}), headers=FORM)


def not_me(service: Service, token: str) -> Answer:
    """Press the button "This was not me"."""
    return press(service, token, action="remove")


def verify(service: Service, token: str) -> Answer:
    return service.call("verify_email", query=f"token={token}", headers=PROGRAM)


def reset(service: Service, token: str, password: str = NEW_PASSWORD) -> Answer:
    return service.call("reset_password", {"password": password, "confirm_password": password}, token=token)


def attacker(service: Service) -> tuple[Person, str]:
    """Return an account that was registered with a victim's address, logged in, and the token in the victim's mail."""
    eve = person(service, verified=False)
    return eve, mail_token(service, eve, "verification")


def known_addresses(service: Service, who: Person) -> int:
    return len(service.execute("SELECT 1 FROM users_known_addresses WHERE user_id = %s", who.id))


def verification_events(service: Service, who: Person) -> int:
    return sum(each["name"] == "user.verify_email" for each in records(service, who.id, "event"))


# --- the mail and page of the victim


def test_s55_the_mail_names_the_account(service: Service, mail_server: MailServer) -> None:
    user = service.register()
    service.deliver()
    (mail,) = mails_to(mail_server.url, user["email"])
    for text in (mail.text, mail.html):
        assert f"Username: {user['credentials']['username']}" in text
        assert re.search(r"Registered: \d\d \w+ 20\d\d, \d\d:\d\d UTC", text)
        assert "This was not me" in re.sub(r"&[^;]+;", "", text)
    assert REMOVE in page(service, mail.token).text


def test_s55_the_page_names_the_account_and_changes_nothing(service: Service) -> None:
    eve, token = attacker(service)
    for method in ("GET", "HEAD", "GET"):
        shown = page(service, token, method)
        assert shown.status == 200
        assert f"Username: <b>{eve.username}</b>" in shown.text
        assert f"Registered: <b>{row(service, eve.id)['created_at']:%Y-%m-%d %H:%M} UTC</b>" in shown.text
        assert REMOVE in shown.text
    query = urlencode({"token": token, "action": "remove"})
    assert service.call("verify_email", query=query, headers={"accept": "text/html"}).status == 200
    assert is_alive(service, eve.token)
    assert row(service, eve.id)["verified_at"] is None


def test_s55_a_name_is_no_part_of_the_page(service: Service) -> None:
    """A taken-over database may contain any username."""
    eve, token = attacker(service)
    service.execute("UPDATE users SET username = %s WHERE id = %s", f"<script>{eve.username}</script>", eve.id)
    assert "<script" not in page(service, token).text


# --- "This was not me"


def test_s55_the_owner_of_the_address_removes_the_account(service: Service) -> None:
    eve, token = attacker(service)
    other, _ = attacker(service)
    assert "member" in relations(service, eve.id)
    answer = not_me(service, token)
    assert answer.status == 200
    assert "The account is removed" in answer.text
    assert service.execute("SELECT 1 FROM users WHERE id = %s", eve.id) == []
    assert relations(service, eve.id) == set()
    assert [each["name"] for each in records(service, eve.id, "event")] == ["user.purge"]
    assert records(service, eve.id, "mail") == []
    assert len(records(service, eve.id, "revocation")) == 1
    assert not is_alive(service, eve.token)
    assert refresh(service, eve.refresh_token).status == 401
    assert log_in(service, eve.email, eve.secret).error == (401, "invalid_credentials")
    assert is_alive(service, other.token)
    assert service.call("register_user", registration(email=eve.email)).status == 201


def test_s55_the_mail_that_arrives_twice(service: Service) -> None:
    """Both deliveries have the same link. The second press finds no account, and harms no later account."""
    eve, token = attacker(service)
    assert not_me(service, token).status == 200
    owner = person(service, verified=False, email=eve.email)
    for answer in (not_me(service, token), press(service, token), page(service, token)):
        assert answer.status == 400
        assert "<form" not in answer.text
    assert is_alive(service, owner.token)


def test_s55_every_mail_that_the_attacker_asks_for_offers_it(service: Service) -> None:
    eve, first = attacker(service)
    second = mail_token(service, eve, "verification")
    assert REMOVE in page(service, first).text
    assert not_me(service, second).status == 200
    assert not_me(service, first).status == 400


def verified_by_an_upstream_link(service: Service) -> tuple[Person, str]:
    """Return an account that was verified by upstream's link, after which an older release cleared the mark."""
    eve, token = attacker(service)
    otp = uuid.uuid4().hex
    service.execute(
        "INSERT INTO users_verifications (user_id, email, otp, created_at, expires_at)"
        " VALUES (%s, %s, %s, now(), now() + interval '1 hour')", eve.id, eve.email, otp,
    )  # fmt: skip
    parts = json.dumps({"user_id": eve.id, "email": eve.email, "otp": otp})
    link = base64.urlsafe_b64encode(parts.encode()).decode()
    assert REMOVE not in page(service, link).text
    assert verify(service, link).status == 200
    service.execute("UPDATE users SET verified_at = NULL WHERE id = %s", eve.id)
    return eve, token


def verified_before_an_older_release_cleared_it(service: Service) -> tuple[Person, str]:
    """Return an account whose mark an older release cleared. That release changes the address, but not our column."""
    eve, token = verified(service)
    service.execute("UPDATE users SET verified_at = NULL WHERE id = %s", eve.id)
    return eve, token


def verified_by_an_older_release(service: Service) -> tuple[Person, str]:
    """Return an account that an older release or upstream verified, and whose address was then changed here."""
    eve, _ = attacker(service)
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", eve.id)
    email = f"{uuid.uuid4().hex}@example.com"
    assert service.call("update_user_email", {"email": email}, token=eve.token, user_id=eve.id).status == 200
    return eve, mail_token(service, eve, "verification", email=email)


def verified(service: Service) -> tuple[Person, str]:
    eve, token = attacker(service)
    assert verify(service, token).status == 200
    return eve, mail_token(service, eve, "verification")


def taken_over(service: Service) -> tuple[Person, str]:
    """Return an account with the column's default, as rows of upstream and of an import have it."""
    eve, token = attacker(service)
    service.execute("UPDATE users SET self_registered = DEFAULT WHERE id = %s", eve.id)
    return eve, token


def invited(service: Service) -> tuple[Person, str]:
    boss, body = administrator(service), registration()
    user = service.call("register_user", body, token=boss.token).json
    credentials = body["credentials"]
    ada = Person(user["id"], user["email"], credentials["username"], credentials["secret"], "", "")
    return logged_in(service, ada), mail_token(service, ada, "verification")


def administrating(service: Service) -> tuple[Person, str]:
    eve, token = attacker(service)
    service.execute("UPDATE users SET role = 1 WHERE id = %s", eve.id)
    return eve, token


def with_another_address(service: Service) -> tuple[Person, str]:
    """Return an account that was verified once, so that it is not new, and whose next address is unverified."""
    eve, _ = verified(service)
    email = f"{uuid.uuid4().hex}@example.com"
    assert service.call("update_user_email", {"email": email}, token=eve.token, user_id=eve.id).status == 200
    return eve, mail_token(service, eve, "verification", email=email)


@pytest.mark.parametrize(
    "make",
    [
        verified,
        verified_by_an_upstream_link,
        verified_before_an_older_release_cleared_it,
        verified_by_an_older_release,
        with_another_address,
        taken_over,
        invited,
        administrating,
    ],
)
def test_s55_no_other_account_is_removed(service: Service, make: object) -> None:
    ada, token = make(service)  # type: ignore[operator]
    shown = page(service, token)
    assert shown.status == 200
    assert REMOVE not in shown.text
    assert not_me(service, token).status == 400
    stored = row(service, ada.id)
    assert (stored["status"], stored["purging_at"]) == (0, None)
    assert is_alive(service, ada.token)
    assert verify(service, token).status == 200, "the refused press has not used the link"


@pytest.mark.parametrize("purpose", ["password_reset", "invitation"])
def test_s55_no_other_link_removes(service: Service, purpose: Purpose) -> None:
    eve, _ = attacker(service)
    answer, garbage = not_me(service, mail_token(service, eve, purpose)), not_me(service, "garbage")
    assert (answer.status, answer.text) == (garbage.status, garbage.text) == (400, garbage.text)
    assert is_alive(service, eve.token)


def test_s55_a_link_that_is_over_or_of_another_address_removes_nothing(service: Service) -> None:
    eve, _ = attacker(service)
    old = mail_token(service, eve, "verification", lifetime="-1 second")
    elsewhere = mail_token(service, eve, "verification", email=f"not-{eve.email}")
    for token in (old, elsewhere):
        assert not_me(service, token).status == 400
    assert is_alive(service, eve.token)


def test_s55_no_button_says_anything_else(service: Service) -> None:
    eve, token = attacker(service)
    assert press(service, token, action="delete").status == 400
    assert is_alive(service, eve.token)
    assert row(service, eve.id)["verified_at"] is None


def test_s55_of_removing_and_confirming_at_once_one_happens(service: Service, environments: Environments) -> None:
    """Two links of the account are used at once, 20 times.

    One of them removes or verifies the account, the other does nothing.
    """
    for _ in range(3):
        eve, token = attacker(service)
        other = mail_token(service, eve, "verification")
        wishes = [{"token": token, "action": "remove"}, {"token": other}, {"token": other, "action": "remove"}]
        calls = [
            {"operation": "verify_email", "method": "POST", "raw": urlencode(wishes[n % 3]), "headers": FORM}
            for n in range(21)
        ]
        answers = environments.call(service, calls)
        done = [n % 3 for n, answer in enumerate(answers) if answer.status == 200]
        assert {answer.status for answer in answers} <= {200, 400}
        assert len(done) == 1
        left = service.execute("SELECT verified_at IS NOT NULL AS verified FROM users WHERE id = %s", eve.id)
        assert left == ([{"verified": True}] if done == [1] else [])


@contextmanager
def in_between(service: Service, statement: str, user_id: str) -> Iterator[Callable[[Callable[[], Answer]], Answer]]:
    """Change an account in a transaction. Yield a function that starts a call, and commits once the call waits."""
    with psycopg.connect(service.conninfo) as other, ThreadPoolExecutor(1) as thread:
        other.execute(f"UPDATE users SET {statement} WHERE id = %s", [user_id])

        def run(call: Callable[[], Answer]) -> Answer:
            answer = thread.submit(call)
            eventually(lambda: answer.done() or service.execute(WAITS))
            assert not answer.done(), "it did not wait for the other transaction"
            other.commit()
            return answer.result()

        yield run


@pytest.mark.parametrize("change", ["verified_at = now()", "role = 1", "status = 1", "email = 'new-' || email"])
def test_s55_what_changes_while_the_button_is_pressed_counts(service: Service, change: str) -> None:
    eve, token = attacker(service)
    with in_between(service, change, eve.id) as run:
        assert run(lambda: not_me(service, token)).status == 400
    assert (row(service, eve.id)["status"], row(service, eve.id)["purging_at"]) == (int("status" in change), None)


def test_s55_without_the_policy_store_the_account_ends_all_the_same(own_service: Service) -> None:
    """The claim stays, so that the sweep completes the removal."""
    service = own_service
    eve, token = attacker(service)
    with service.configured(MG_SPICEDB_PORT="9"):
        assert not_me(service, token).status == 200
    assert not is_alive(service, eve.token)
    assert log_in(service, eve.email, eve.secret).status == 401
    boss = administrator(service)
    assert service.call("enable_user", token=boss.token, user_id=eve.id).error == (409, "removal_begun")
    service.execute("UPDATE users SET purging_at = now() - interval '1 hour' WHERE id = %s", eve.id)
    assert handler("sweep_accounts")({}, lambda_context())["swept"] == 1
    assert service.execute("SELECT 1 FROM users WHERE id = %s", eve.id) == []
    assert relations(service, eve.id) == set()


def test_s55_mails_to_an_earlier_address_hold_up_none_to_the_victim(service: Service, mail_server: MailServer) -> None:
    """The attacker registers with an address that no mail reaches, and moves the account to the victim's address."""
    body = registration(email=f"{uuid.uuid4().hex}@{'x' * 64}.example")
    eve = person(service, verified=False, **body)
    deliver("mail")
    assert [each["attempts"] for each in records(service, eve.id, "mail")] == [1]
    service.execute("UPDATE users_outbox SET parked_at = now(), attempts = 12 WHERE user_id = %s", eve.id)
    victim = f"{uuid.uuid4().hex}@example.com"
    assert service.call("update_user_email", {"email": victim}, token=eve.token, user_id=eve.id).status == 200
    service.execute("DELETE FROM users_outbox WHERE user_id = %s AND name = 'email_changed'", eve.id)
    deliver("mail")
    (mail,) = mails_to(mail_server.url, victim)
    assert not_me(service, mail.token).status == 200


# --- a reset


def test_s55_a_reset_takes_the_account_from_the_attacker(service: Service) -> None:
    eve, link = attacker(service)
    older = mail_token(service, eve, "password_reset")
    invitation = mail_token(service, eve, "invitation")
    assert known_addresses(service, eve) == 1
    assert reset(service, mail_token(service, eve, "password_reset")).status == 201
    stored = row(service, eve.id)
    assert stored["verified_at"] == stored["secret_changed_at"]
    assert stored["self_registered"] is False
    assert not is_alive(service, eve.token)
    assert refresh(service, eve.refresh_token).status == 401
    assert log_in(service, eve.email, eve.secret).status == 401
    assert known_addresses(service, eve) == 0
    assert verification_events(service, eve) == 1
    for token in (older, invitation):
        assert reset(service, token, "yet another 1 horse").error == (400, "verification_expired")
    assert REMOVE not in page(service, link).text
    assert not_me(service, link).status == 400
    owner = logged_in(service, eve, NEW_PASSWORD)
    assert service.call("view_user", token=owner.token, user_id=owner.id).status == 200


def test_s55_a_reset_of_a_verified_account_verifies_nothing_anew(service: Service) -> None:
    ada = person(service)
    before = row(service, ada.id)["verified_at"]
    assert reset(service, mail_token(service, ada, "password_reset")).status == 201
    assert row(service, ada.id)["verified_at"] == before
    assert verification_events(service, ada) == 0
    assert known_addresses(service, ada) == 1


@pytest.mark.parametrize("email", ["", "elsewhere@example.com"])
def test_s55_only_a_mailed_reset_link_proves_the_mailbox(service: Service, email: str) -> None:
    """``user reset-password --print-link`` sends no mail, and its token belongs to no address."""
    eve, _ = attacker(service)
    token = mail_token(service, eve, "password_reset")
    service.execute("UPDATE users_one_time_tokens SET email = %s WHERE user_id = %s", email, eve.id)
    assert reset(service, token).status == 201
    assert row(service, eve.id)["verified_at"] is None
    assert verification_events(service, eve) == 0


def test_s55_twenty_resets_at_once_verify_once(service: Service, environments: Environments) -> None:
    eve, _ = attacker(service)
    tokens = [mail_token(service, eve, "password_reset") for _ in range(2)]
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    calls = [{"operation": "reset_password", "body": body, "token": tokens[n % 2]} for n in range(20)]
    statuses = sorted(answer.status for answer in environments.call(service, calls))
    assert statuses == [201] + [400] * 19
    assert verification_events(service, eve) == 1


def test_s55_an_address_that_changes_during_a_reset_is_not_verified(service: Service) -> None:
    eve, _ = attacker(service)
    token = mail_token(service, eve, "password_reset")
    with in_between(service, "email = 'new-' || email", eve.id) as run:
        assert run(lambda: reset(service, token)).status == 201
    assert row(service, eve.id)["verified_at"] is None
    assert verification_events(service, eve) == 0


def test_s55_the_two_buttons_at_once_do_not_wait_in_a_circle(service: Service) -> None:
    """A removal locks the account, then its links. A confirmation that waits for the account has locked no link."""
    eve, token = attacker(service)
    with psycopg.connect(service.conninfo) as removal, ThreadPoolExecutor(1) as thread:
        removal.execute("UPDATE users SET status = 2, purging_at = now() WHERE id = %s", [eve.id])
        confirmed = thread.submit(use_for_verification, token, [], at=datetime.now(UTC))
        eventually(lambda: service.execute(WAITS))
        removal.execute("SELECT FROM users_one_time_tokens WHERE user_id = %s FOR UPDATE NOWAIT", [eve.id])
        removal.commit()
        assert not confirmed.result()
    assert row(service, eve.id)["verified_at"] is None
