"""report_telemetry: its whole report, and when there is none (decisions 4)."""

import io
import json
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.http_server import http_server
from tests.service import Service, handler, lambda_context
from users.settings import WrongSettings


def report() -> dict[str, Any]:
    answer: dict[str, Any] = handler("report_telemetry")({}, lambda_context())
    return answer


@pytest.mark.usefixtures("built_release")
def test_the_whole_report(service: Service) -> None:
    with http_server() as receiver, service.configured(MG_CALLHOME_URL=f"{receiver.url}/telemetry?from=users"):
        assert report() == {"reported": True}
    (sent,) = receiver.received
    assert (sent.method, sent.path) == ("POST", "/telemetry?from=users")
    assert json.loads(sent.body) == {"service": "users", "version": "1.2.3"}
    assert sent.headers.keys() == {"host", "accept-encoding", "content-length", "content-type"}


def test_nobody_is_told_by_default(service: Service) -> None:
    assert report() == {"reported": False}


def test_it_can_be_turned_off(service: Service) -> None:
    with http_server() as receiver, service.configured(MG_CALLHOME_URL=receiver.url, MG_SEND_TELEMETRY="false"):
        assert report() == {"reported": False}
    assert receiver.received == []


def test_outside_of_a_developers_machine_https_is_asked_for(service: Service) -> None:
    with (
        http_server() as receiver,
        service.configured(MG_CALLHOME_URL=receiver.url, AWS_SAM_LOCAL="false"),
        pytest.raises(WrongSettings, match=r"^MG_CALLHOME_URL: must start with https://"),
    ):
        report()
    assert receiver.received == []


def test_the_receivers_certificate_must_be_good(service: Service, log_output: io.StringIO, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with http_server(tls=context) as receiver:
        variables = {"MG_CALLHOME_URL": receiver.url, "AWS_SAM_LOCAL": "false"}
        with service.configured(**variables):
            assert report() == {"reported": False}
            assert receiver.received == []
            assert '"exception_type":"SSLCertVerificationError"' in log_output.getvalue()
        with service.configured(**variables, SSL_CERT_FILE=str(tmp_path / "authority.pem")):
            assert report() == {"reported": True}


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_receiver_that_refuses(service: Service, log_output: io.StringIO, status: int) -> None:
    with http_server(status) as receiver, service.configured(MG_CALLHOME_URL=receiver.url):
        assert report() == {"reported": False}
    assert len(receiver.received) == 1
    assert '"message":"telemetry was not reported"' in log_output.getvalue()


def test_a_receiver_that_is_away_or_hangs(service: Service, log_output: io.StringIO) -> None:
    with service.configured(MG_CALLHOME_URL="http://127.0.0.1:1"):
        assert report() == {"reported": False}
    release = threading.Event()
    with http_server() as receiver, service.configured(MG_CALLHOME_URL=receiver.url):
        receiver.before_answer = lambda: (release.wait(20), None)[1]
        started = time.perf_counter()
        assert report() == {"reported": False}
        assert time.perf_counter() - started < 5
        release.set()
    assert log_output.getvalue().count("telemetry was not reported") == 2
