"""S24 The second use of a mailed token, and all but one of 20 uses at once, answer 400."""

from tests.parallel import Environments
from tests.people import log_in, mail_token, person, records, row
from tests.service import Service

PROGRAM = {"accept": "application/json"}


def test_s24_a_reset_token(service: Service, environments: Environments) -> None:
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    passwords = [f"horse number {number} of 20" for number in range(20)]
    calls = [
        {"operation": "reset_password", "body": {"password": password, "confirm_password": password}, "token": token}
        for password in passwords
    ]
    answers = environments.call(service, calls)
    assert sorted(answer.status for answer in answers) == [201] + [400] * 19
    (winner,) = (password for password, answer in zip(passwords, answers, strict=True) if answer.status == 201)
    assert log_in(service, ada.email, winner).status == 201
    assert len([each for each in records(service, ada.id, "event") if each["name"] == "user.reset_secret"]) == 1


def test_s24_a_verification_token(service: Service, environments: Environments) -> None:
    ada = person(service, verified=False)
    query = f"token={mail_token(service, ada, 'verification')}"
    calls = [{"operation": "verify_email", "query": query, "headers": PROGRAM} for _ in range(20)]
    statuses = sorted(answer.status for answer in environments.call(service, calls))
    assert statuses == [200] + [400] * 19
    assert row(service, ada.id)["verified_at"] is not None
    assert len([each for each in records(service, ada.id, "event") if each["name"] == "user.verify_email"]) == 1
