"""S63 in a real browser: pages of other sites send requests to the local ports of mails and of Lambda Invoke."""

from collections.abc import Iterator
from typing import Any

import pytest

from local.parts.gateway import Gateway
from local.parts.mail import MailServer
from tests.browser.pages import Browser
from tests.deliveries import mails_to
from tests.http_server import HttpServer, http_server
from tests.security.test_s63_other_sites import INVOKE, TEMPLATE, send_mail

pytestmark = pytest.mark.long

# All requests that a page may send without a preflight: simple types, a body without a type, an image, a form in a
# frame.
ATTACK = """
const [invoke, mail] = arguments, done = arguments[arguments.length - 1];
const send = (url, options) => fetch(url, {mode: "no-cors", ...options}).then(
    async (answer) => ({type: answer.type, status: answer.status, text: await answer.text()}),
    () => ({type: "error", status: 0, text: ""}));
(async () => done(await Promise.all([
    send(invoke, {method: "POST", body: "{}"}),
    send(invoke, {method: "POST", body: new Blob(["{}"])}),
    send(invoke, {method: "POST", body: new URLSearchParams({a: "1"})}),
    send(invoke, {method: "POST", mode: "cors", body: "{}", headers: {"content-type": "application/json"}}),
    send(mail + "/clear-store", {method: "POST"}),
    send(mail + "/store"),
    send(mail + "/store", {mode: "cors"}),
])))();
"""
READ = """
const [path, options] = arguments, done = arguments[arguments.length - 1];
fetch(path, options).then(async (answer) => done([answer.status, await answer.text()]));
"""


@pytest.fixture
def page() -> Iterator[HttpServer]:
    """Yield another site. Its port and name make the origin."""
    with http_server(body=b"<!doctype html><title>other</title><p>other</p>") as server:
        yield server


@pytest.fixture
def gateway(tmp_path: Any) -> Iterator[Gateway]:
    with Gateway(template=TEMPLATE, log=tmp_path / "log", environment={"PATH": "/usr/bin:/bin"}) as started:
        yield started


def runs(gateway: Gateway) -> int:
    """Return how often a function has run. Each run writes a line."""
    return gateway.log.read_text().count("describe was here")


@pytest.mark.parametrize("name", ["evil.example", "localhost", "127.0.0.1"])
def test_s63_a_page_of_another_origin(
    browser: Browser, page: HttpServer, gateway: Gateway, mail_server: MailServer, name: str
) -> None:
    address = f"{name}@example.com"
    assert send_mail(mail_server.port, {}, address).status_code == 200
    browser.open(page.url.replace("127.0.0.1", name) + "/")
    url = f"http://127.0.0.1:{gateway.lambda_port}{INVOKE}"
    answers = browser.driver.execute_async_script(ATTACK, url, mail_server.url)
    assert len(answers) == 7
    assert {answer["type"] for answer in answers} <= {"opaque", "error"}
    assert "".join(answer["text"] for answer in answers) == ""
    assert runs(gateway) == 0
    assert len(mails_to(mail_server.url, address)) == 1


def test_s63_a_name_that_is_made_to_lead_here(browser: Browser, gateway: Gateway, mail_server: MailServer) -> None:
    """After DNS rebinding the port is the page's own origin, so the page can read the answers."""
    address = "rebinding@example.com"
    assert send_mail(mail_server.port, {}, address).status_code == 200
    browser.open(f"http://evil.example:{mail_server.port}/")
    status, text = browser.driver.execute_async_script(READ, "/store", {})
    assert (status, address in text) == (403, False)
    browser.open(f"http://evil.example:{gateway.lambda_port}/")
    json = {"method": "POST", "body": "{}", "headers": {"content-type": "application/json"}}
    status, _ = browser.driver.execute_async_script(READ, INVOKE, json)
    assert (status, runs(gateway)) == (403, 0)


def test_s63_the_page_of_mails_itself(browser: Browser, mail_server: MailServer) -> None:
    address = "own-page@example.com"
    assert send_mail(mail_server.port, {}, address).status_code == 200
    browser.open(f"http://localhost:{mail_server.port}/")
    status, text = browser.driver.execute_async_script(READ, "/store", {})
    assert (status, address in text) == (200, True)
