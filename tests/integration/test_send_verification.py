"""POST /users/send-verification (contract §1.6.6, §4.1; decisions 11, 20)."""

import pytest

from tests.people import Person, event, mails, person, records, token_of_kind
from tests.service import Answer, Service


def send(service: Service, who: Person) -> Answer:
    return service.call("send_verification", token=who.token)


def unverified(service: Service) -> Person:
    """Return an account that registered without a mail, so that the test asks for the first one."""
    with service.configured(MG_USERS_VERIFY_ON_REGISTER="false"):
        return person(service, verified=False)


def test_a_mail_and_its_event(service: Service) -> None:
    ada = unverified(service)
    answer = send(service, ada)
    assert (answer.status, answer.text) == (200, "")
    assert answer.headers["Content-Type"] == "application/json"
    assert mails(service, ada.id) == [("verification", ada.email)]
    assert event(service, ada.id, "user.send_verification") == {"user_id": ada.id, "token_type": "access token"}


def test_asking_again_within_the_minute_sends_nothing(service: Service) -> None:
    ada = unverified(service)
    assert [send(service, ada).status for _ in range(3)] == [200, 200, 200]
    assert len(mails(service, ada.id)) == 1
    assert len([each for each in records(service, ada.id, "event") if "send_verification" in each["name"]]) == 1


def test_registering_counts_as_asking(service: Service) -> None:
    ada = person(service, verified=False)
    assert mails(service, ada.id) == [("verification", ada.email)]
    assert send(service, ada).status == 200
    assert len(mails(service, ada.id)) == 1


def test_a_verified_address_is_a_conflict(service: Service) -> None:
    """Upstream answers 422."""
    answer = send(service, person(service))
    assert answer.error == (409, "already_verified")
    assert answer.json["message"] == "user already verified"


@pytest.mark.parametrize("kind", ["pat", "api_key", "refresh"])
def test_only_a_session_asks(service: Service, kind: str) -> None:
    ada = unverified(service)
    answer = service.call("send_verification", token=token_of_kind(service, ada.id, kind))
    assert answer.error == (401, "unauthenticated")


def test_without_a_token(service: Service) -> None:
    assert service.call("send_verification").error == (401, "missing_token")
