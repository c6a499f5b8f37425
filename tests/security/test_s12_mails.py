"""S12 Reset and verification mails: one per address and minute, five per hour. The answer stays 2xx."""

import pytest

from tests.people import Person, deliver, mails, person
from tests.service import Service


def ask(service: Service, who: Person, kind: str) -> None:
    if kind == "verification":
        assert service.call("send_verification", token=who.token).status == 200
    else:
        assert service.call("request_password_reset", {"email": who.email}).status == 201
        deliver("reset_request")


def pass_a_minute(service: Service, who: Person) -> None:
    """End the windows of a minute, but not the window of an hour."""
    service.execute(
        "UPDATE users_throttle SET expires_at = now() WHERE user_id = %s AND key LIKE '%%:minute:%%'", who.id
    )


def sent(service: Service, who: Person, kind: str) -> int:
    return [name for name, _ in mails(service, who.id)].count(kind)


@pytest.fixture
def ada(service: Service) -> Person:
    with service.configured(MG_USERS_VERIFY_ON_REGISTER="false"):
        return person(service, verified=False)


@pytest.mark.parametrize("kind", ["verification", "password_reset"])
def test_s12_one_in_a_minute_and_five_in_an_hour(service: Service, ada: Person, kind: str) -> None:
    for number in range(1, 6):
        for _ in range(3):
            ask(service, ada, kind)
        assert sent(service, ada, kind) == number
        pass_a_minute(service, ada)
    ask(service, ada, kind)
    assert sent(service, ada, kind) == 5
    service.execute("UPDATE users_throttle SET expires_at = now() WHERE user_id = %s", ada.id)
    ask(service, ada, kind)
    assert sent(service, ada, kind) == 6


def test_s12_the_kinds_are_counted_apart(service: Service, ada: Person) -> None:
    for kind in ("verification", "password_reset"):
        ask(service, ada, kind)
    assert (sent(service, ada, "verification"), sent(service, ada, "password_reset")) == (1, 1)


def test_s12_another_spelling_is_the_same_mailbox(service: Service, ada: Person) -> None:
    for email in (ada.email, ada.email.upper()):
        service.call("request_password_reset", {"email": email})
    deliver("reset_request")
    assert sent(service, ada, "password_reset") == 1


def test_s12_a_mailbox_cannot_be_flooded_by_changing_to_it(service: Service, ada: Person) -> None:
    """Two accounts change to another person's address and back in turn. That address gets one mail."""
    bob = person(service)
    victim = f"victim-{ada.username}@example.com"
    for who in (ada, bob):
        assert service.call("update_user_email", {"email": victim}, token=who.token, user_id=who.id).status == 200
        body = {"email": f"other-{who.username}@example.com"}
        assert service.call("update_user_email", body, token=who.token, user_id=who.id).status == 200
    to_victim = [each for who in (ada, bob) for each in mails(service, who.id) if each == ("verification", victim)]
    assert len(to_victim) == 1
