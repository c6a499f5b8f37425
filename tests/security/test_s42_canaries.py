"""S42: logs, metrics, spans, events and outbox of a full run contain no password, token, hash or private metadata.
Logs, metrics and spans contain no address and no id of an account."""

import io
import json
import uuid
from collections.abc import Iterator

import pytest

from local.parts.mail import MailServer
from local.parts.nats import NatsServer
from tests.deliveries import events, mails_to
from tests.otlp_receiver import Receiver, otlp_receiver
from tests.service import Service, registration
from users.telemetry.log import logger


@pytest.fixture
def debug_log(log_output: io.StringIO) -> Iterator[io.StringIO]:
    """Log everything that can be logged."""
    level = logger.log_level
    logger.setLevel("DEBUG")
    yield log_output
    logger.setLevel(level)


def outbox(service: Service) -> str:
    return json.dumps([row["row"] for row in service.execute("SELECT o::text AS row FROM users_outbox o")])


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with otlp_receiver() as started:
        yield started


def test_s42_a_full_run(
    own_service: Service,
    debug_log: io.StringIO,
    nats_server: NatsServer,
    mail_server: MailServer,
    collector: Receiver,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = own_service
    mark = uuid.uuid4().hex
    password, private, wrong = f"pw-{mark}", f"private-{mark}", f"wrong-{mark}"
    body = registration(credentials={"secret": password}, private_metadata={private: private})
    email, username = body["email"], body["credentials"]["username"]
    with service.configured(MG_USERS_READ_EVENTS="true", MG_JAEGER_URL=collector.url):
        service.call("register_user", body)
        service.call("register_user", body)  # the address is taken
        service.call("register_user", raw=json.dumps(body)[:-2])
        tokens = service.call("issue_token", {"identity": email, "secret": password}).json
        service.call("issue_token", {"identity": email, "secret": wrong})
        service.call("issue_token", {"identity": wrong, "secret": password})
        access, refresh = tokens["access_token"], tokens["refresh_token"]
        service.call("view_profile", token=access)
        service.call("view_profile", token=refresh)
        service.call("view_profile", token=access[:-3] + "abc")
        service.call("list_users", token=access, query=f"email={email}&metadata={wrong}")
        admin, admin_token = service.administrator()
        pat = service.auth_command("pat", admin)
        service.call("list_users", token=pat, query=f"username={username}")
        service.call("list_users", token=admin_token, query=f"username={username}&cursor={wrong}")
        service.call("view_user", token=admin_token, user_id=admin)
        service.call("view_user", token=admin_token, user_id=f"{wrong}@{username}")
        service.call("request_password_reset", {"email": email, "secret": password})
        with service.configured(MG_AUTH_GRPC_URL="127.0.0.1:1", MG_USERS_DB_HOST="/nowhere"):
            service.call("register_user", registration(private_metadata={private: private}))
            service.call("view_profile", token=pat)
        (row,) = service.execute("SELECT secret FROM users WHERE email = %s", email)
        written = outbox(service)
        service.deliver()
        written += outbox(service)
        published = json.dumps([event.payload for event in events(nats_server.url)])
        metrics = capsys.readouterr().out
        spans = collector.raw.decode(errors="replace")
        log = debug_log.getvalue() + metrics + spans
    mail_tokens = [mail.token for mail in mails_to(mail_server.url, email)]
    assert len(mail_tokens) == 2
    canaries = [password, private, access, refresh, admin_token, pat, row["secret"], *mail_tokens]
    assert debug_log.getvalue().count("\n") > 20
    assert metrics.count('"LoginsFailed":[1.0]') == 2
    assert {span.name for span in collector.spans()} > {"register_user", "register", "deliver_outbox"}
    assert mark not in log, "not even a mistyped value is logged"
    for canary in canaries:
        assert canary not in log
        assert canary not in written
        assert canary not in published
    for signature in (access, refresh, admin_token):
        assert signature.rpartition(".")[2] not in log + written + published
    for name in (email, username, admin, service.environment["MG_USERS_SECRET_KEY"]):
        assert name not in log


def test_s42_an_error_that_nobody_foresaw(
    own_service: Service, debug_log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = uuid.uuid4().hex
    own_service.execute("ALTER TABLE users ADD CONSTRAINT odd CHECK (first_name <> 'odd')")
    body = registration(first_name="odd", last_name=mark, private_metadata={"p": mark})
    answer = own_service.call("register_user", body)
    assert answer.error == (500, "internal")
    assert mark not in answer.text
    assert mark not in debug_log.getvalue()
    assert "CheckViolation" in debug_log.getvalue()
