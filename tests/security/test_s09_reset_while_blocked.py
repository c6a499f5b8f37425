"""S9 A password reset works during the block and clears it."""

import uuid

from tests.people import NEW_PASSWORD, log_in, mail_token, person
from tests.service import Service


def test_s09_a_reset_clears_the_block(service: Service) -> None:
    ada = person(service)
    sources = [str(uuid.uuid4()) for _ in range(6)]
    for source in sources:
        for _ in range(5):
            log_in(service, ada.email, "wrong password", address=source)
    assert log_in(service, ada.email, ada.secret, address=sources[0]).status == 429
    assert service.call("request_password_reset", {"email": ada.email}, address=sources[0]).status == 201
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    token = mail_token(service, ada, "password_reset")
    assert service.call("reset_password", body, token=token, address=sources[0]).status == 201
    assert log_in(service, ada.email, NEW_PASSWORD, address=sources[0]).status == 201
    assert log_in(service, ada.email, NEW_PASSWORD, address=str(uuid.uuid4())).status == 201
