"""Mails arrive at a real SES endpoint, and at a real SMTP server in clear, with STARTTLS and with TLS."""

import hashlib
import io
import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from background.mail import smtp
from local.parts.mail import MailServer
from tests.deliveries import Mail, mails_to
from tests.service import Service
from tests.smtp_server import SmtpServer, smtp_server
from users.rules import outbox_records
from users.rules.outbox_records import Record


def enqueue(user_id: str | None, *records: Record) -> None:
    from users.repository.outbox import record

    record(user_id, records)


def notice(name: str, email: str, **payload: Any) -> Record:
    return Record(channel="mail", name=name, payload={"email": email, **payload})


def tokens(service: Service, user_id: str) -> list[dict[str, Any]]:
    return service.execute("SELECT * FROM users_one_time_tokens WHERE user_id = %s ORDER BY created_at", user_id)


def rows(service: Service, user_id: str) -> list[dict[str, Any]]:
    statement = "SELECT * FROM users_outbox WHERE user_id = %s AND channel = 'mail' ORDER BY seq"
    return service.execute(statement, user_id)


def make_due(service: Service) -> None:
    service.execute("UPDATE users_outbox SET next_attempt_at = now()")


@pytest.fixture
def somebody(own_service: Service) -> dict[str, Any]:
    """Return an account that was warned of its removal. Its events and verification mail are delivered."""
    user = own_service.register()
    own_service.execute("UPDATE users SET removal_warned_at = now()")
    own_service.deliver()
    assert own_service.execute("SELECT * FROM users_outbox") == []
    return user


# ------------------------------------------------------------------------------------------------ SES


def newest(server: MailServer, address: str) -> Mail:
    return mails_to(server.url, address)[-1]


def test_the_verification_mail_of_a_registration_by_ses(service: Service, mail_server: MailServer) -> None:
    user = service.register(metadata={"locale": "de-AT"}, first_name="Zoë http://evil.example")
    service.deliver()
    (mail,) = mails_to(mail_server.url, user["email"])
    assert mail.sender == "users@example.com"
    assert mail.subject == "E-Mail-Adresse bestätigen"
    assert mail.text.startswith("Guten Tag Zoë http evil. example,\n")
    assert mail.link.startswith("http://localhost/verify-email?token=mgverify_")
    assert f'href="{mail.link}"' in mail.html
    (token,) = tokens(service, user["id"])
    assert bytes(token["digest"]) == hashlib.sha256(mail.token.encode()).digest()
    assert (
        service.call("verify_email", query=f"token={mail.token}", headers={"accept": "application/json"}).status == 200
    )


def test_the_reset_mail_of_a_request_by_ses(service: Service, mail_server: MailServer) -> None:
    user = service.register(metadata={"locale": {"not": "a text"}})
    service.deliver()
    assert service.call("request_password_reset", {"email": user["email"]}).status == 201
    service.deliver()
    mail = newest(mail_server, user["email"])
    assert mail.subject == "Password Reset Request"
    assert mail.link.startswith("http://localhost/password/reset?token=mgreset_")
    assert "30 minutes" in mail.text


@pytest.mark.parametrize(
    ("locale", "subject"), [("en-US", "Your password was changed"), ("de_DE", "Ihr Passwort wurde geändert")]
)
def test_a_changed_password_is_told(service: Service, mail_server: MailServer, locale: str, subject: str) -> None:
    user = service.register(metadata={"locale": locale})
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", user["id"])
    body = {"old_secret": user["secret"], "new_secret": "another horse 8 battery"}
    assert service.call("update_user_secret", body, token=service.log_in(user["email"])).status == 200
    service.deliver()
    mail = newest(mail_server, user["email"])
    assert mail.subject == subject
    assert "http" not in mail.text
    assert "href" not in mail.html


def test_a_changed_address_is_told_to_the_old_one(service: Service, mail_server: MailServer) -> None:
    user = service.register()
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", user["id"])
    service.deliver()
    address = f"new-{uuid.uuid4().hex}@example.com"
    path = {"pathParameters": {"id": user["id"]}}
    answer = service.call("update_user_email", {"email": address}, token=service.log_in(user["email"]), **path)
    assert answer.status == 200, answer.text
    service.deliver()
    mail_to_old_address = newest(mail_server, user["email"])
    assert mail_to_old_address.subject == "Your e-mail address was changed"
    assert address not in mail_to_old_address.text + mail_to_old_address.html
    assert [mail.subject for mail in mails_to(mail_server.url, address)] == ["Email Verification"]


def test_the_removal_of_a_disabled_account_is_announced(service: Service, mail_server: MailServer) -> None:
    user = service.register()
    service.execute("UPDATE users SET status = 1, removal_warned_at = now() WHERE id = %s", user["id"])
    enqueue(user["id"], notice("account_removal", user["email"], removal_at="2030-01-31T14:30:00.5Z"))
    service.deliver()
    mail = newest(mail_server, user["email"])
    assert mail.subject == "Your account will be removed"
    assert "was disabled. It will be removed" in " ".join(mail.text.split())
    assert "31 January 2030, 14:30 UTC" in " ".join(mail.text.split())


def test_notices_make_no_tokens(own_service: Service, somebody: dict[str, Any]) -> None:
    before = tokens(own_service, somebody["id"])
    address = somebody["email"]
    removal = notice("account_removal", address, removal_at="2030-01-31T14:30:00Z")
    enqueue(somebody["id"], notice("password_changed", address), notice("email_changed", address), removal)
    assert own_service.deliver()["delivered"] == 3
    assert tokens(own_service, somebody["id"]) == before


def test_a_notice_of_a_purged_account_is_done_with(own_service: Service, mail_server: MailServer) -> None:
    address = f"{uuid.uuid4().hex}@example.com"
    enqueue(str(uuid.uuid4()), notice("password_changed", address))
    assert own_service.deliver()["delivered"] == 1
    assert mails_to(mail_server.url, address) == []


def test_an_unverifiable_address_gets_no_verification_mail(
    own_service: Service, somebody: dict[str, Any], mail_server: MailServer
) -> None:
    address = f"{uuid.uuid4().hex}@example.com"
    enqueue(somebody["id"], outbox_records.verification_mail(address))
    assert own_service.deliver()["delivered"] == 1
    assert mails_to(mail_server.url, address) == []


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        (notice("birthday", "a@b.example"), "unknown mail"),
        (notice("frame", "a@b.example"), "unknown mail"),
        (Record(channel="mail", name="password_changed", payload={}), "malformed payload"),
        (notice("account_removal", "a@b.example"), "malformed payload"),
        (notice("account_removal", "a@b.example", removal_at="soon"), "malformed payload"),
        (notice("account_removal", "a@b.example", removal_at=7), "malformed payload"),
        (notice("password_changed", "a@b.example, c@d.example"), "address that no mail can be sent to"),
        (notice("password_changed", "a@b.example\r\nBcc: c@d.example"), "address that no mail can be sent to"),
    ],
)
def test_a_row_that_no_mail_can_be_made_of_holds_up_nobody(
    own_service: Service, somebody: dict[str, Any], record: Record, cause: str
) -> None:
    other = own_service.register()
    enqueue(somebody["id"], record)
    enqueue(other["id"], notice("password_changed", other["email"]))
    assert own_service.deliver()["refused"] == 1
    assert [row["last_error"] for row in rows(own_service, somebody["id"])] == [cause]
    assert rows(own_service, other["id"]) == []


# ------------------------------------------------------------------------------------------------ SMTP


class Authority:
    """A certificate authority that the sender trusts, and the TLS contexts of its servers."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.file))

    def server(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with smtp_server() as running:
        yield running


TlsServer = Callable[[str], AbstractContextManager[SmtpServer]]


@pytest.fixture(params=["STARTTLS", "implicit"])
def tls_server(request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> TlsServer:
    """Return a function that runs a server with a certificate for a name, in which `root` logs in."""
    implicit = request.param == "implicit"

    @contextmanager
    def running(name: str) -> Iterator[SmtpServer]:
        with smtp_server(authority.server(name), implicit=implicit, password="s3cret") as server:
            if implicit:  # port 465 itself needs a privilege, and may be in use
                monkeypatch.setattr(smtp, "_IMPLICIT_TLS_PORT", server.port)
            yield server

    return running


Sending = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def sending(own_service: Service) -> Sending:
    """Return a function that configures the relay to send by a server."""

    def configured(server: SmtpServer, **variables: str) -> AbstractContextManager[None]:
        place = {"MG_EMAIL_HOST": "127.0.0.1", "MG_EMAIL_PORT": str(server.port), "MG_EMAIL_USERNAME": "root"}
        return own_service.configured(**{**place, **variables})

    return configured


def enqueue_notice(user: dict[str, Any]) -> Record:
    record = notice("password_changed", user["email"])
    enqueue(user["id"], record)
    return record


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def test_a_mail_by_smtp(own_service: Service, server: SmtpServer, sending: Sending) -> None:
    user = own_service.register(metadata={"locale": "de"}, first_name="Zoë")
    with sending(server, MG_EMAIL_FROM_NAME="Ünïcode, Inc. <Users>"):
        own_service.deliver()
    (mail,) = server.received
    assert (mail.sender, mail.to) == ("users@example.com", [user["email"]])
    assert (mail.encrypted, mail.login, mail.smtputf8) == (False, None, False)
    assert mail.greeting == "example.com"
    assert mail.raw.isascii()
    assert all(len(line) <= 78 for line in mail.raw.splitlines())
    message = mail.message
    assert message.defects == []
    (sender,) = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Ünïcode, Inc. <Users>", "users@example.com")
    assert message["To"] == user["email"]
    assert message["Subject"] == "E-Mail-Adresse bestätigen"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "de"
    assert abs(parsedate_to_datetime(message["Date"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert message.get_content_type() == "multipart/alternative"
    assert [piece.get_content_type() for piece in message.iter_parts()] == ["text/plain", "text/html"]
    assert part(message, "plain").startswith("Guten Tag Zoë,\n\njemand hat diese E-Mail-Adresse für")
    assert "<h1" in part(message, "html")


def test_every_delivery_of_a_mail_has_the_rows_message_id_and_link(
    own_service: Service, server: SmtpServer, sending: Sending
) -> None:
    user = own_service.register()
    (row,) = rows(own_service, user["id"])
    with sending(server):
        own_service.deliver()
        # A relay that is killed between sending and settling leaves the row.
        again = Record(channel="mail", name="verification", payload={"email": user["email"]}, id=str(row["id"]))
        enqueue(user["id"], again)
        expiry = tokens(own_service, user["id"])
        own_service.deliver()
    first, second = (mail.message for mail in server.received)
    assert first["Message-ID"] == second["Message-ID"] == f"<{row['id']}@example.com>"
    assert part(first, "plain") == part(second, "plain")
    assert tokens(own_service, user["id"]) == expiry


def test_tls_and_login(
    own_service: Service, somebody: dict[str, Any], sending: Sending, tls_server: TlsServer, authority: Authority
) -> None:
    enqueue_notice(somebody)
    with tls_server("127.0.0.1") as server:
        with sending(server, MG_EMAIL_PASSWORD="s3cret", SSL_CERT_FILE=str(authority.file)):
            assert own_service.deliver()["delivered"] == 1
        (mail,) = server.received
    assert (mail.encrypted, mail.login) == (True, "root")


def test_a_certificate_of_another_name_gets_no_mail(
    own_service: Service, somebody: dict[str, Any], sending: Sending, tls_server: TlsServer, authority: Authority
) -> None:
    enqueue_notice(somebody)
    with tls_server("mail.example") as server:
        with sending(server, MG_EMAIL_PASSWORD="s3cret", SSL_CERT_FILE=str(authority.file)):
            assert own_service.deliver()["unavailable"] == 1
        assert server.received == []
    assert [row["attempts"] for row in rows(own_service, somebody["id"])] == [0]


def test_a_certificate_of_an_unknown_authority_gets_no_mail(
    own_service: Service, somebody: dict[str, Any], sending: Sending, tls_server: TlsServer, log_output: io.StringIO
) -> None:
    enqueue_notice(somebody)
    with tls_server("127.0.0.1") as server:
        with sending(server, MG_EMAIL_PASSWORD="s3cret"):
            assert own_service.deliver()["unavailable"] == 1
        assert server.received == []
    assert "certificate: " in log_output.getvalue()


def test_login_only_where_it_is_offered(
    own_service: Service, somebody: dict[str, Any], server: SmtpServer, sending: Sending
) -> None:
    enqueue_notice(somebody)
    with sending(server, MG_EMAIL_PASSWORD="s3cret"):
        assert own_service.deliver()["delivered"] == 1
    assert server.received[0].login is None


def test_no_login_of_nobody(own_service: Service, somebody: dict[str, Any], sending: Sending) -> None:
    with smtp_server(password="s3cret") as server:
        enqueue_notice(somebody)
        with sending(server, MG_EMAIL_USERNAME="", MG_EMAIL_PASSWORD="s3cret"):
            own_service.deliver()
        assert [mail.login for mail in server.received] == [None]


@pytest.mark.parametrize("password", [pytest.param("wrong", marks=pytest.mark.long), "nicht-ascii-ß"])
def test_a_refused_login_costs_a_mail_nothing(
    own_service: Service, somebody: dict[str, Any], sending: Sending, password: str
) -> None:
    with smtp_server(password="s3cret") as server:
        enqueue_notice(somebody)
        with sending(server, MG_EMAIL_PASSWORD=password):
            assert own_service.deliver()["unavailable"] == 1
        with sending(server, MG_EMAIL_PASSWORD="s3cret"):
            assert own_service.deliver()["delivered"] == 1


def test_no_password_crosses_a_network_in_clear(
    own_service: Service, somebody: dict[str, Any], sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    with smtp_server(password="s3cret") as server:
        monkeypatch.setattr(smtp, "_LOOPBACK", set())
        enqueue_notice(somebody)
        with sending(server, MG_EMAIL_PASSWORD="s3cret"):
            assert own_service.deliver()["unavailable"] == 1
        assert server.received == []


def test_one_connection_for_many_mails(own_service: Service, server: SmtpServer, sending: Sending) -> None:
    users = [own_service.register() for _ in range(3)]
    with sending(server):
        own_service.deliver()
    assert [mail.to for mail in server.received] == [[user["email"]] for user in users]
    assert server.connections == 1


def test_a_server_that_ends_its_connections_is_called_again(
    own_service: Service, server: SmtpServer, sending: Sending
) -> None:
    server.hang_up_after_mail = True
    users = [own_service.register() for _ in range(3)]
    with sending(server):
        counts = own_service.deliver()
    assert counts["unavailable"] == 0
    assert {mail.to[0] for mail in server.received} == {user["email"] for user in users}


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ("550 5.1.1 <somebody>: no such user", "550 5.1.1"),
        ("554 no", "554"),
        ("450 4.2.1 mailbox is full", "450 4.2.1"),
        ("451 greylisted", "451"),
    ],
)
@pytest.mark.parametrize("command", ["RCPT", "DATA"])
def test_a_refused_mail_is_tried_again_later_and_holds_up_nobody(
    own_service: Service,
    somebody: dict[str, Any],
    server: SmtpServer,
    sending: Sending,
    log_output: io.StringIO,
    command: str,
    answer: str,
    cause: str,
) -> None:
    enqueue_notice(somebody)
    if command == "RCPT":
        server.rcpt_answers[somebody["email"]] = answer
        other = own_service.register()
    else:
        server.data_answer = answer
        other = None
    with sending(server):
        counts = own_service.deliver()
    assert (counts["refused"], counts["unavailable"]) == (1, 0)
    (row,) = rows(own_service, somebody["id"])
    assert (row["attempts"], row["last_error"]) == (1, cause)
    assert row["next_attempt_at"] > datetime.now(UTC)
    assert other is None or len(server.to(other["email"])) == 1
    assert somebody["email"] not in log_output.getvalue()
    assert "somebody" not in log_output.getvalue()
    server.rcpt_answers.clear()
    server.data_answer = ""
    make_due(own_service)
    with sending(server):
        own_service.deliver()
    assert len(server.to(somebody["email"])) == 1


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("MAIL", "451 4.3.0 later"),
        ("MAIL", "530 5.7.0 log in first"),
        ("RCPT", "421 4.4.5 too busy"),
        ("RCPT", "452 4.3.1 system is full"),
        ("DATA", "421 going away"),
        ("DATA", "451 4.3.5 server configuration error"),
    ],
)
def test_what_a_server_says_of_itself_costs_a_mail_nothing(
    own_service: Service, somebody: dict[str, Any], server: SmtpServer, sending: Sending, command: str, answer: str
) -> None:
    enqueue_notice(somebody)
    if command == "RCPT":
        server.rcpt_answers[somebody["email"]] = answer
    else:
        setattr(server, f"{command.lower()}_answer", answer)
    with sending(server):
        assert own_service.deliver()["unavailable"] == 1
    (row,) = rows(own_service, somebody["id"])
    assert (row["attempts"], row["last_error"]) == (0, None)


def test_the_time_of_a_link_begins_when_its_mail_is_sent(
    own_service: Service, somebody: dict[str, Any], server: SmtpServer, sending: Sending
) -> None:
    before = tokens(own_service, somebody["id"])
    enqueue(somebody["id"], Record(channel="mail", name="password_reset", payload={}))
    with sending(server, MG_EMAIL_PORT="1"):  # no server listens there
        assert own_service.deliver()["unavailable"] == 1
    assert tokens(own_service, somebody["id"]) == before
    server.rcpt_answers[somebody["email"]] = "450 later"
    with sending(server):
        assert own_service.deliver()["refused"] == 1
        assert tokens(own_service, somebody["id"]) == before
        server.rcpt_answers.clear()
        make_due(own_service)
        assert own_service.deliver()["delivered"] == 1
    (token,) = [token for token in tokens(own_service, somebody["id"]) if token not in before]
    assert token["purpose"] == "password_reset"
    assert token["expires_at"] - token["created_at"] == timedelta(minutes=30)


@pytest.mark.parametrize("address", ["", "nobody", "a@b, c@d"])
def test_without_a_sender_no_mail_is_lost(
    own_service: Service, somebody: dict[str, Any], server: SmtpServer, sending: Sending, address: str
) -> None:
    enqueue_notice(somebody)
    with sending(server, MG_EMAIL_FROM_ADDRESS=address):
        assert own_service.deliver()["unavailable"] == 1
    with sending(server):
        assert own_service.deliver()["delivered"] == 1


@pytest.mark.parametrize("typed", ["jörg", "Ada <ada"])
def test_addresses_beyond_ascii_and_as_upstream_stored_them(
    own_service: Service, somebody: dict[str, Any], server: SmtpServer, sending: Sending, typed: str
) -> None:
    stored = f"{typed}@bücher.example{'>' if '<' in typed else ''}"
    enqueue(somebody["id"], notice("email_changed", stored))
    with sending(server):
        assert own_service.deliver()["delivered"] == 1
    (mail,) = server.received
    local = typed.rpartition("<")[2]
    assert mail.to == [f"{local}@xn--bcher-kva.example"]
    assert mail.smtputf8 is not local.isascii()
    assert mail.message["To"] == f"{local}@xn--bcher-kva.example"


def test_a_server_that_knows_no_such_addresses_refuses_them(
    own_service: Service, somebody: dict[str, Any], sending: Sending
) -> None:
    enqueue(somebody["id"], notice("email_changed", "jörg@example.com"))
    with smtp_server(utf8=False) as server, sending(server):
        assert own_service.deliver()["refused"] == 1
    assert [row["last_error"] for row in rows(own_service, somebody["id"])] == ["SMTPUTF8 is not offered"]


def test_nothing_that_was_typed_becomes_a_header(own_service: Service, server: SmtpServer, sending: Sending) -> None:
    user = own_service.register()
    name = "Ada\r\nBcc: victim@example.com\r\n\r\n<b>bold</b>"  # refused today, but possible in a taken-over database
    own_service.execute("UPDATE users SET first_name = %s WHERE id = %s", name, user["id"])
    with sending(server):
        own_service.deliver()
    (mail,) = server.received
    assert mail.to == [user["email"]]
    assert mail.message["Bcc"] is None
    assert part(mail.message, "plain").startswith("Hello Ada Bcc victim example. com b bold b,\n")
    assert "<b>" not in part(mail.message, "html")
