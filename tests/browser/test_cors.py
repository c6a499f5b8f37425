"""A front end on another port of this machine calls the API: `make run` allows it without any setting."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.pages import Browser
from tests.http_server import HttpServer, http_server
from tests.service import PASSWORD, registration
from tests.system import System

pytestmark = pytest.mark.long

# A request by fetch(), as a front end makes it. It returns the readable part of the answer, or the browser's error.
CALL = """
const [url, method, headers, body] = arguments, done = arguments[arguments.length - 1];
fetch(url, {method, headers, body: body === null ? undefined : JSON.stringify(body)}).then(
    async (answer) => done(
        {status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text()}),
    (error) => done({status: 0, headers: {}, text: String(error)}));
"""


@pytest.fixture
def front_end() -> Iterator[HttpServer]:
    with http_server(body=b"<!doctype html><title>front end</title><p>front end</p>") as server:
        yield server


def call(browser: Browser, url: str, method: str, body: Any = None, **headers: str) -> dict[str, Any]:
    sent = {"content-type": "application/json"} if body is not None else {}
    answer: dict[str, Any] = browser.driver.execute_async_script(CALL, url, method, sent | headers, body)
    return answer


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_from_registration_to_profile(browser: Browser, front_end: HttpServer, system: System, name: str) -> None:
    browser.open(front_end.url.replace("127.0.0.1", name) + "/")
    person = registration()
    assert call(browser, f"{system.url}/users", "POST", person)["status"] == 201
    credentials = {"identity": person["email"], "secret": PASSWORD}
    answer = call(browser, f"{system.url}/users/tokens/issue", "POST", credentials)
    assert answer["status"] == 201, answer
    token = json.loads(answer["text"])["access_token"]
    bearer = {"authorization": f"Bearer {token}", "x-request-id": "page-1"}
    answer = call(browser, f"{system.url}/users/profile", "GET", **bearer)
    assert (answer["status"], answer["headers"]["x-request-id"]) == (200, "page-1")
    person_url = f"{system.url}/users/{json.loads(answer['text'])['id']}"
    answer = call(browser, person_url, "PATCH", {"first_name": "A"}, **bearer)
    assert (answer["status"], json.loads(answer["text"])["error"]) == (401, "email_not_verified")


def test_a_page_reads_how_long_to_wait(browser: Browser, front_end: HttpServer, system: System) -> None:
    browser.open(front_end.url + "/")
    person = registration()
    wrong = {"identity": person["email"], "secret": "wrong"}
    answers = [call(browser, f"{system.url}/users/tokens/issue", "POST", wrong) for _ in range(6)]
    assert answers[-1]["status"] == 429
    assert int(answers[-1]["headers"]["retry-after"]) > 0


def test_other_sites_may_not_read(browser: Browser, front_end: HttpServer, system: System) -> None:
    browser.open(front_end.url.replace("127.0.0.1", "evil.example") + "/")
    answer = call(browser, f"{system.url}/health", "GET")
    assert answer["status"] == 0
    assert "Failed to fetch" in answer["text"]
