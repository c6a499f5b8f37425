"""S63 Local ports for programs of this machine accept no request that a page of another site can send."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.parts.auth import AuthServer
from local.parts.gateway import Gateway
from local.parts.launch import ROOT
from local.parts.mail import MailServer
from local.serving.other_sites import is_loopback, refusal
from tests.deliveries import mails_to

TEMPLATE = ROOT / "local/gateway/tests/fixtures/template.yaml"
INVOKE = "/2015-03-31/functions/DescribeFunction/invocations"
SEND = "/v2/email/outbound-emails"
SIGNED = {"authorization": "AWS4-HMAC-SHA256 Credential=local/20261126/eu-central-1/lambda/aws4_request"}
ADDRESS = "s63@example.com"

# Requests of a browser for a page of another site. {port} is the requested port.
FOREIGN = {
    "a name that was made to lead here": {"host": "evil.example:{port}"},
    "the same, with a body": {"host": "evil.example:{port}", "origin": "http://evil.example:{port}"},
    "a name that begins like ours": {"host": "localhost.evil.example:{port}"},
    "a name that begins like our address": {"host": "127.0.0.1.evil.example:{port}"},
    "a name that ends like ours": {"host": "evil-localhost:{port}"},
    "the address of any machine": {"host": "0.0.0.0:{port}"},
    "the IPv6 address of any machine": {"host": "[::]:{port}"},
    "an address of the network": {"host": "192.168.1.20:{port}"},
    "another site": {"origin": "https://evil.example"},
    "another port of this machine": {"origin": "http://localhost:5173"},
    "another name of this machine": {"origin": "http://localhost:{port}"},
    "another scheme": {"origin": "https://127.0.0.1:{port}"},
    "a sandboxed frame": {"origin": "null"},
    "an image of another site": {"sec-fetch-site": "cross-site"},
    "an image of another port": {"sec-fetch-site": "same-site"},
}
OWN = {
    "a program": {},
    "a person who typed the address": {"sec-fetch-site": "none"},
    "the page itself": {"origin": "http://127.0.0.1:{port}", "sec-fetch-site": "same-origin"},
    "by name": {"host": "localhost:{port}", "origin": "http://localhost:{port}"},
    "by name with a dot": {"host": "localhost.:{port}"},
    "by a name below it": {"host": "Users.localhost:{port}"},
    "by another address of the loopback": {"host": "127.1.2.3"},
    "by IPv6": {"host": "[::1]:{port}"},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with started(tmp_path_factory.mktemp("gateway") / "log") as gateway:
        yield gateway


def started(log: Path, **variables: str) -> Gateway:
    return Gateway(template=TEMPLATE, log=log, environment={"PATH": "/usr/bin:/bin", **variables})


def ask(
    port: int, method: str, path: str, headers: dict[str, str], content: bytes = b"", content_type: str = ""
) -> httpx.Response:
    filled = {name: value.format(port=port) for name, value in headers.items()}
    if content_type:
        filled["content-type"] = content_type
    return httpx.request(
        method, f"http://127.0.0.1:{port}{path}", headers=filled, content=content, timeout=30, trust_env=False
    )


def send_mail(port: int, headers: dict[str, str], address: str) -> httpx.Response:
    mail: dict[str, Any] = {
        "FromEmailAddress": "users@example.com",
        "Destination": {"ToAddresses": [address]},
        "Content": {
            "Simple": {"Subject": {"Data": "S63"}, "Body": {"Text": {"Data": "a link"}, "Html": {"Data": "a link"}}}
        },
    }
    return ask(port, "POST", SEND, SIGNED | headers, json.dumps(mail).encode(), "application/json")


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_s63_another_site_invokes_no_function(gateway: Gateway, headers: dict[str, str]) -> None:
    for more in ({}, SIGNED):
        answer = ask(gateway.lambda_port, "POST", INVOKE, headers | more, b"{}", "application/json")
        assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
        assert not any(name.startswith("access-control-") for name in answer.headers)


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_s63_another_site_neither_reads_nor_sends_nor_removes_a_mail(
    mail_server: MailServer, headers: dict[str, str]
) -> None:
    assert send_mail(mail_server.port, {}, ADDRESS).status_code == 200
    before = len(mails_to(mail_server.url, ADDRESS))
    for method, path in (("GET", "/store"), ("GET", "/"), ("POST", "/clear-store"), ("OPTIONS", "/store")):
        answer = ask(mail_server.port, method, path, headers)
        assert (answer.status_code, list(answer.json())) == (403, ["message"]), path
        assert not any(name.startswith("access-control-") for name in answer.headers)
    assert send_mail(mail_server.port, headers, ADDRESS).status_code == 403
    assert len(mails_to(mail_server.url, ADDRESS)) == before > 0


@pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
def test_s63_this_machine_does_all_that(gateway: Gateway, mail_server: MailServer, headers: dict[str, str]) -> None:
    answer = ask(gateway.lambda_port, "POST", INVOKE, headers, b'{"a": 1}', "application/json")
    assert (answer.status_code, answer.json()["event"]) == (200, {"a": 1})
    assert ask(mail_server.port, "GET", "/store", headers).status_code == 200
    assert "text/html" in ask(mail_server.port, "GET", "/", headers).headers["content-type"]
    assert send_mail(mail_server.port, headers, ADDRESS).status_code == 200


@pytest.mark.parametrize(
    ("content_type", "content", "status"),
    [
        ("application/json", b"{}", 200),
        ("Application/JSON; charset=utf-8", b"{}", 200),
        ("", b"{}", 415),
        ("", b"", 415),
        ("text/plain", b"{}", 415),
        ("text/plain; application/json", b"{}", 415),
        ("application/x-www-form-urlencoded", b"{}", 415),
        ("multipart/form-data; boundary=application/json", b"{}", 415),
        ("application/json-seq", b"{}", 415),
    ],
)
def test_s63_an_invocation_says_that_it_is_json_or_is_signed(
    gateway: Gateway, content_type: str, content: bytes, status: int
) -> None:
    answer = ask(gateway.lambda_port, "POST", INVOKE, {}, content, content_type)
    assert answer.status_code == status
    assert answer.headers.get("x-amzn-errortype") == {415: "UnsupportedMediaTypeException"}.get(status)
    assert ask(gateway.lambda_port, "POST", INVOKE, SIGNED, content, content_type).status_code == 200


def test_s63_a_name_of_this_machine_that_is_configured(tmp_path: Path) -> None:
    with MailServer(log=tmp_path / "mail.log", own_name="Users.test") as server:
        assert ask(server.port, "GET", "/store", {"host": "users.test:{port}"}).status_code == 200
        assert ask(server.port, "GET", "/store", {"host": "evil.example:{port}"}).status_code == 403
    with MailServer(log=tmp_path / "mail.log", own_name="0.0.0.0") as server:
        assert ask(server.port, "GET", "/store", {"host": "0.0.0.0:{port}"}).status_code == 403
    assert refusal({"host": "users.test:9003"}, "Users.test") is None
    assert refusal({"host": "users.test:9003"}) is not None
    assert refusal({"host": "0.0.0.0:9003"}, "0.0.0.0") is not None
    assert refusal({"host": "[::]:9003"}, "::") is not None


@pytest.mark.parametrize(
    "host", ["", "localhost:80@evil.example", "localhost/", "[::1", "localhost:", "127.1", "0x7f.1"]
)
def test_s63_a_host_that_is_none(host: str) -> None:
    assert refusal({"host": host}) is not None


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "a.b.localhost", "127.0.0.1", "127.255.255.254", "::1"])
def test_s63_names_of_the_loopback(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_s63_another_site_makes_no_faults_in_auth(faulty_auth: AuthServer, headers: dict[str, str]) -> None:
    fault = b'{"method": "Authenticate", "status": "UNAVAILABLE"}'
    assert ask(faulty_auth.ports.http, "POST", "/faults", headers, fault, "text/plain").status_code == 404
    assert ask(faulty_auth.ports.http, "GET", "/faults", {}).json() == []


@pytest.fixture(scope="module")
def faulty_auth(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthServer]:
    place = tmp_path_factory.mktemp("auth") / "keys"
    with AuthServer(postgres.create_database("s63_auth"), place, environment={"AUTH_FAULTS": "1"}) as server:
        yield server


def test_s63_the_service_wakes_its_relay(
    gateway: Gateway, service: Any, log_output: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    from users.steps import wake

    woken: Callable[[], None] = wake.wake_delivery
    wake.close()
    monkeypatch.setenv("OUTBOX_FUNCTION", "DescribeFunction")
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{gateway.lambda_port}")
    request.addfinalizer(wake.close)
    service.execute("UPDATE users_relay SET looks_until = '-infinity'")  # so that the next change wakes a run
    woken()
    assert log_output.getvalue() == ""
