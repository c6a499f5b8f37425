"""S22, where an address changes: the database holds a SHA-256 of the mailed token, never the token."""

import hashlib

from tests.deliveries import mails_to
from tests.people import person
from tests.service import Service


def test_s22_of_the_mail_to_a_new_address(service: Service) -> None:
    ada = person(service)
    email = f"new-{ada.email}"
    assert service.call("update_user_email", {"email": email}, token=ada.token, user_id=ada.id).status == 200
    service.deliver()
    (mail,) = mails_to(service.environment["AWS_ENDPOINT_URL_SESV2"], email)
    statement = "SELECT *, expires_at - created_at AS life FROM users_one_time_tokens WHERE email = %s"
    (stored,) = service.execute(statement, email)
    assert bytes(stored["digest"]) == hashlib.sha256(mail.token.encode()).digest()
    assert (stored["purpose"], stored["life"].total_seconds()) == ("verification", 24 * 3600)
    for table in ("users_one_time_tokens", "users_outbox", "users"):
        assert not [
            each for each in service.execute(f"SELECT t::text AS text FROM {table} t") if mail.token in each["text"]
        ]
    assert (
        service.call("verify_email", query=f"token={mail.token}", headers={"accept": "application/json"}).status == 200
    )
    assert service.call("view_profile", token=ada.token).json["verified_at"] > "0002"
