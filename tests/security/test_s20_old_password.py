"""S20 PATCH /users/secret without or with a wrong old password fails, and counts for S8."""

import uuid

from tests.people import NEW_PASSWORD, Person, log_in, person
from tests.service import Answer, Service


def change(service: Service, who: Person, old: str, source: str) -> Answer:
    body = {"old_secret": old, "new_secret": NEW_PASSWORD}
    return service.call("update_user_secret", body, token=who.token, address=source)


def test_s20_without_the_old_password(service: Service) -> None:
    ada = person(service)
    answer = service.call("update_user_secret", {"new_secret": NEW_PASSWORD}, token=ada.token)
    assert answer.error == (400, "missing_password")
    assert log_in(service, ada.email, ada.secret).status == 201


def test_s20_a_wrong_one_counts_as_a_failed_login(service: Service) -> None:
    ada, source = person(service), str(uuid.uuid4())
    for _ in range(3):
        assert change(service, ada, "wrong password", source).error == (403, "wrong_password")
    for _ in range(2):
        assert log_in(service, ada.email, "wrong password", address=source).status == 401
    answer = change(service, ada, ada.secret, source)
    assert answer.error == (429, "too_many_requests")
    assert int(answer.headers["Retry-After"]) > 0
    assert log_in(service, ada.email, ada.secret, address=source).error == (401, "invalid_credentials")


def test_s20_the_right_one_forgets_the_failures(service: Service) -> None:
    ada, source = person(service), str(uuid.uuid4())
    for _ in range(4):
        change(service, ada, "wrong password", source)
    assert change(service, ada, ada.secret, source).status == 200
    for _ in range(5):
        assert log_in(service, ada.email, "wrong password", address=source).status == 401
