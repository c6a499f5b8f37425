"""The page of the API in a real browser, used as by a first reader."""

import json
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.pages import Browser
from tests.system import System

pytestmark = pytest.mark.long


def opened(browser: Browser, system: System) -> None:
    """Open the root of the API, and wait until its document is shown."""
    browser.console()
    browser.open(system.url + "/")
    WebDriverWait(browser.driver, 30).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, ".opblock"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_root_shows_every_operation_in_the_visitors_colours(browser: Browser, system: System, scheme: str) -> None:
    browser.prefer(scheme=scheme)
    opened(browser, system)
    assert browser.driver.current_url == system.url + "/docs"
    shown = len(browser.driver.find_elements(By.CSS_SELECTOR, ".opblock"))
    assert shown == len(browser.driver.execute_async_script(
        "const done = arguments[0];"
        "fetch('openapi.json').then(a => a.json()).then(d => done(Object.values(d.paths).flatMap("
        "p => Object.keys(p).filter(k => k !== 'parameters'))))"
    ))  # fmt: skip
    background = browser.driver.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    text = browser.one(".info .title").value_of_css_property("color")
    assert _brightness(background) > _brightness(text) if scheme == "light" else _brightness(background) < 80
    assert browser.console() == []


def test_its_first_reader_logs_in(browser: Browser, system: System) -> None:
    """The reader follows "Try it" on the page, with the page's own examples and the one field for the token."""
    browser.prefer()
    opened(browser, system)
    assert execute(browser, "registerUser")["status"] == 201
    answer = execute(browser, "issueToken")
    assert answer["status"] == 201
    browser.one("button.authorize").click()
    (field,) = browser.driver.find_elements(By.CSS_SELECTOR, ".modal-ux input")
    field.send_keys(json.loads(answer["body"])["access_token"])
    browser.one(".modal-ux button.authorize").click()
    browser.one(".modal-ux button.btn-done").click()
    profile = execute(browser, "viewProfile")
    assert (profile["status"], json.loads(profile["body"])["email"]) == (200, "ada@example.com")


def execute(browser: Browser, operation: str) -> dict[str, Any]:
    """Open an operation, send its example, and return the answer that the page shows."""
    block = browser.one(f"[id$='-{operation}'].opblock")
    browser.driver.execute_script("arguments[0].scrollIntoView()", block)
    block.find_element(By.CSS_SELECTOR, ".opblock-summary-control").click()
    wait = WebDriverWait(browser.driver, 30)
    wait.until(lambda _: block.find_elements(By.CSS_SELECTOR, "button.execute"))[0].click()
    shown = wait.until(lambda _: block.find_elements(By.CSS_SELECTOR, ".live-responses-table .response"))[0]
    status = int(shown.find_element(By.CSS_SELECTOR, ".response-col_status").text.split()[0])
    return {"status": status, "body": shown.find_element(By.CSS_SELECTOR, ".highlight-code code").text}


def _brightness(color: str) -> float:
    """Return the brightness of ``rgb(r, g, b)`` or ``rgba(r, g, b, a)``. A transparent colour counts as white."""
    parts = [float(part) for part in color[color.index("(") + 1 : -1].split(",")]
    return 255.0 if len(parts) == 4 and parts[3] == 0 else sum(parts[:3]) / 3
