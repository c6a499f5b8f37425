"""S22: how the database stores a mailed token.

S23, S29: other uses of a token are refused. S27: the targets of links.
"""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from local.parts.mail import MailServer
from tests.deliveries import mails_to
from tests.service import Answer, Service, registration

GARBAGE = "garbage"


def everything(service: Service) -> str:
    """Return every row of every table, as text."""
    tables = service.execute("SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'")
    rows = (service.execute(f"SELECT t::text AS row FROM {table['name']} t") for table in tables)
    return "\n".join(row["row"] for found in rows for row in found)


def test_s22_the_database_holds_a_hash_with_purpose_account_and_expiry(
    own_service: Service, mail_server: MailServer
) -> None:
    user = own_service.register()
    own_service.call("request_password_reset", {"email": user["email"]})
    before = everything(own_service)
    own_service.deliver()
    verification, reset = mails_to(mail_server.url, user["email"])
    after = everything(own_service)
    for mail, purpose in ((verification, "verification"), (reset, "password_reset")):
        random = mail.token.partition("_")[2]
        assert len(base64.urlsafe_b64decode(random + "=")) * 8 >= 128
        for text in (before, after):
            assert random not in text
            assert base64.urlsafe_b64decode(random + "=").hex() not in text
        (row,) = own_service.execute(
            "SELECT * FROM users_one_time_tokens WHERE digest = %s", hashlib.sha256(mail.token.encode()).digest()
        )
        assert (row["purpose"], row["user_id"]) == (purpose, user["id"])
        assert timedelta() < row["expires_at"] - datetime.now(UTC) <= timedelta(days=1)


def refusal(service: Service, operation: str, token: str) -> Answer:
    return service.call(operation, token=token, headers={"x-request-id": "same"})


@pytest.mark.parametrize("operation", ["view_profile", "list_users"])
def test_s23_the_tokens_of_mails_are_no_bearers(own_service: Service, mail_server: MailServer, operation: str) -> None:
    user = own_service.register()
    own_service.call("request_password_reset", {"email": user["email"]})
    own_service.deliver()
    for mail in mails_to(mail_server.url, user["email"]):
        assert refusal(own_service, operation, mail.token) == refusal(own_service, operation, GARBAGE)


@pytest.mark.parametrize("operation", ["view_profile", "list_users"])
@pytest.mark.parametrize("kind", ["refresh", "recovery", "invitation"])
def test_s29_tokens_of_another_purpose_answer_as_garbage(service: Service, operation: str, kind: str) -> None:
    admin, _ = service.administrator()
    token = service.auth_token(admin, kind)
    answer = refusal(service, operation, token)
    assert answer.error == (401, "unauthenticated")
    assert answer == refusal(service, operation, GARBAGE)


@pytest.mark.parametrize("kind", ["refresh", "recovery", "invitation"])
def test_s29_nor_do_they_make_administrators(service: Service, kind: str) -> None:
    admin, _ = service.administrator()
    token = service.auth_token(admin, kind)
    assert service.call("register_user", registration(role="admin"), token=token).status == 403
    with service.configured(MG_USERS_ALLOW_SELF_REGISTER="false"):
        assert service.call("register_user", registration(), token=token).error == (401, "unauthenticated")


def test_s27_links_carry_the_configured_prefix(own_service: Service, mail_server: MailServer) -> None:
    evil = "evil.example"
    headers = {
        "host": evil,
        "x-forwarded-host": evil,
        "x-forwarded-proto": "http",
        "forwarded": f"host={evil}",
        "origin": f"https://{evil}",
        "referer": f"https://{evil}/x",
    }
    prefixes = {
        "MG_PASSWORD_RESET_URL_PREFIX": "https://app.example/reset",
        "MG_VERIFICATION_URL_PREFIX": "https://app.example/verify",
    }
    with own_service.configured(**prefixes):
        body = registration(host=f"https://{evil}")
        assert own_service.call("register_user", body, headers=headers).status == 201
        own_service.call("request_password_reset", {"email": body["email"], "host": evil}, headers=headers)
        own_service.deliver()
    verification, reset = mails_to(mail_server.url, body["email"])
    assert verification.link.startswith("https://app.example/verify?token=")
    assert reset.link.startswith("https://app.example/reset?token=")
    for mail in (verification, reset):
        assert evil not in mail.text + mail.html + mail.subject
