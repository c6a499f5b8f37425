"""S25 A newer reset mail, a new password and a new address end earlier mailed tokens."""

import pytest

from tests.deliveries import mails_to
from tests.people import NEW_PASSWORD, Person, mail_token, person
from tests.service import Answer, Service


def reset(service: Service, token: str) -> Answer:
    body = {"password": "yet another 1 horse", "confirm_password": "yet another 1 horse"}
    return service.call("reset_password", body, token=token)


def verify(service: Service, token: str) -> Answer:
    return service.call("verify_email", query=f"token={token}", headers={"accept": "application/json"})


def ask_for_a_reset_mail(service: Service, who: Person, url: str) -> str:
    """Pass the minute in which only one mail is sent, and ask for another. Return the token of the mail."""
    service.execute("DELETE FROM users_throttle WHERE user_id = %s", who.id)
    assert service.call("request_password_reset", {"email": who.email}).status == 201
    service.deliver()
    return [mail for mail in mails_to(url, who.email) if "/password/reset" in mail.link][-1].token


def test_s25_a_newer_reset_mail_ends_the_older_ones(service: Service) -> None:
    ada = person(service)
    url = service.environment["AWS_ENDPOINT_URL_SESV2"]
    older = ask_for_a_reset_mail(service, ada, url)
    newer = ask_for_a_reset_mail(service, ada, url)
    assert older != newer
    assert reset(service, older).error == (400, "verification_expired")
    assert reset(service, newer).status == 201


def test_s25_a_new_password_ends_reset_tokens(service: Service) -> None:
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    body = {"old_secret": ada.secret, "new_secret": NEW_PASSWORD}
    assert service.call("update_user_secret", body, token=ada.token).status == 200
    assert reset(service, token).error == (400, "verification_expired")


def test_s25_a_reset_ends_the_other_reset_tokens(service: Service) -> None:
    ada = person(service)
    first, second = mail_token(service, ada, "password_reset"), mail_token(service, ada, "password_reset")
    assert reset(service, first).status == 201
    assert reset(service, second).error == (400, "verification_expired")


def test_s25_a_new_password_leaves_verification_tokens(service: Service) -> None:
    ada = person(service, verified=False)
    reset_token, token = mail_token(service, ada, "password_reset"), mail_token(service, ada, "verification")
    assert reset(service, reset_token).status == 201
    assert verify(service, token).status == 200


@pytest.mark.parametrize("purpose", ["password_reset", "verification"])
def test_s25_a_new_address_ends_both(service: Service, purpose: str) -> None:
    ada = person(service, verified=False)
    token = mail_token(service, ada, "password_reset" if purpose == "password_reset" else "verification")
    body = {"email": f"new-{ada.email}"}
    assert service.call("update_user_email", body, token=ada.token, user_id=ada.id).status == 200
    answer = reset(service, token) if purpose == "password_reset" else verify(service, token)
    assert answer.error == (400, "verification_expired")


def test_s25_a_verification_of_the_old_address_says_nothing_of_the_new_one(service: Service) -> None:
    """The same holds if the mail to the old address is sent only after the change."""
    ada = person(service, verified=False)
    body = {"email": f"new-{ada.email}"}
    assert service.call("update_user_email", body, token=ada.token, user_id=ada.id).status == 200
    token = mail_token(service, ada, "verification", email=ada.email)
    assert verify(service, token).status == 400
    assert service.call("view_profile", token=ada.token).json["verified_at"].startswith("0001")
