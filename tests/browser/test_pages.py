"""The pages behind the links in mails, in a real browser, from the mail page to the new login."""

from collections.abc import Callable
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.pages import Browser
from tests.browser.proxy import behind_prefix
from tests.service import PASSWORD, registration
from tests.system import System

pytestmark = pytest.mark.long

NEW_PASSWORD = "another 9 purple giraffes"
RESET, VERIFICATION = "Password Reset Request", "Email Verification"
INVITATION = "Your new account: set your password"
REFUSED = "status of 400"  # Chromium also logs a page with status 400 that shows an error

User = dict[str, Any]


@pytest.fixture
def user(system: System) -> User:
    return system.register()


def reset_link(system: System, user: User) -> str:
    assert system.call("POST", "/password/reset-request", {"email": user["email"]}).status_code == 201
    return system.mail(user["email"], RESET).link


def fill(browser: Browser, password: str, again: str) -> None:
    browser.field("New password").send_keys(password)
    browser.field("New password, once more").send_keys(again)


def test_from_the_mail_page_to_the_new_login(system: System, browser: Browser, user: User) -> None:
    reset_link(system, user)
    browser.prefer()
    with browser.link_in_mail(system.mail_url, user["email"], RESET, "Set a new password"):
        assert browser.heading == "Set a new password"
        assert user["credentials"]["username"] in browser.one("main").text
        assert "at least 8 characters" in browser.one("#rules").text

        fill(browser, NEW_PASSWORD, NEW_PASSWORD + "!")
        browser.press_button()
        assert browser.problem == "The two passwords are not the same. Please type both again."
        assert browser.driver.title == "Error: Set a new password – Magistrala"
        assert "mgreset_" not in browser.driver.current_url

        fill(browser, user["email"], user["email"])
        browser.press_button()
        assert "contains your username" in browser.problem

        fill(browser, NEW_PASSWORD, NEW_PASSWORD)
        browser.press_button()
        assert browser.heading == "Your password is changed"
    assert system.log_in(user["email"], NEW_PASSWORD).status_code == 201
    assert system.log_in(user["email"], PASSWORD).status_code == 401


def test_the_verification_button(system: System, browser: Browser, user: User) -> None:
    token = system.token(user["email"])
    system.mail(user["email"], VERIFICATION)
    browser.prefer()
    with browser.link_in_mail(system.mail_url, user["email"], VERIFICATION, "Confirm this address"):
        assert browser.heading == "Confirm your e-mail address"
        assert user["email"] in browser.one("main").text
        assert _verified_at(system, token) == "0001-01-01T00:00:00Z", "opening the page changes nothing"
        browser.press_button()
        assert browser.heading == "Your e-mail address is confirmed"
    assert _verified_at(system, token) > "2020"


def test_this_was_not_me(system: System, browser: Browser, user: User) -> None:
    browser.prefer()
    browser.open(system.mail(user["email"], VERIFICATION).link)
    assert user["credentials"]["username"] in browser.one("main").text
    remove = browser.one("button[name=action]")
    assert remove.accessible_name == "This was not me: remove the account"
    remove.click()
    browser.wait_until_gone(remove)
    assert browser.heading == "The account is removed"
    assert system.log_in(user["email"], PASSWORD).status_code == 401
    body = registration(email=user["email"])
    assert system.call("POST", "/users", body).status_code == 201, "the address is free again"


def test_an_invitation(system: System, browser: Browser) -> None:
    body = registration()
    del body["credentials"]["secret"]
    assert system.call("POST", "/users", body, token=system.admin_token()).status_code == 201
    browser.prefer()
    with browser.link_in_mail(system.mail_url, body["email"], INVITATION, "Set your password"):
        assert browser.heading == "Set your password"
        assert body["email"] in browser.one("main").text
        assert browser.accessibility_violations() == []
        browser.field("Password").send_keys(NEW_PASSWORD)
        browser.field("Password, once more").send_keys(NEW_PASSWORD)
        browser.press_button()
        assert browser.heading == "Your account is ready"
    assert _verified_at(system, system.token(body["email"], NEW_PASSWORD)) > "2020"


def _verified_at(system: System, token: str) -> str:
    moment: str = system.call("GET", "/users/profile", token=token).json()["verified_at"]
    return moment


@pytest.mark.parametrize("mail", [RESET, VERIFICATION])
def test_links_that_are_used_expired_or_wrong(system: System, browser: Browser, user: User, mail: str) -> None:
    link = reset_link(system, user) if mail == RESET else system.mail(user["email"], VERIFICATION).link
    browser.prefer()
    browser.open(link)  # valid, and left open
    system.execute("UPDATE users_one_time_tokens SET expires_at = now() WHERE user_id = %s", user["id"])
    if mail == RESET:
        fill(browser, NEW_PASSWORD, NEW_PASSWORD)
    browser.press_button()
    assert browser.heading == "This link does not work any more"
    for address in (link[:-4], link.partition("?")[0]):
        browser.open(address)
        assert browser.heading == "This link does not work any more"
        assert not browser.driver.find_elements(By.TAG_NAME, "form")
    assert system.log_in(user["email"], PASSWORD).status_code == 201


@pytest.mark.parametrize("mail", [RESET, VERIFICATION])
def test_an_expired_link_brings_a_new_one(system: System, browser: Browser, mail: str) -> None:
    user = system.register(metadata={"locale": "en"})
    link = reset_link(system, user) if mail == RESET else system.mail(user["email"], VERIFICATION).link
    system.execute("UPDATE users_one_time_tokens SET expires_at = now() WHERE user_id = %s", user["id"])
    system.execute("DELETE FROM users_throttle WHERE user_id = %s", user["id"])  # allow a second mail within a minute
    browser.prefer(language="de", width=320)
    browser.open(link)
    assert browser.heading == "This link does not work any more", "the mail's language, not the browser's"
    assert browser.accessibility_violations() == []
    assert not browser.scrolls_sideways()
    browser.press_button()
    assert browser.heading == "Check your mailbox"
    browser.open(system.mail(user["email"], mail, count=2).link)
    assert browser.heading in {"Set a new password", "Confirm your e-mail address"}


def test_without_javascript(system: System, browser_without_javascript: Browser, user: User) -> None:
    browser = browser_without_javascript
    browser.open("data:text/html,<p>off</p><script>document.querySelector('p').textContent = 'on'</script>")
    assert browser.one("p").text == "off"
    link = reset_link(system, user)
    browser.open(link)
    fill(browser, NEW_PASSWORD, "another thing altogether")
    browser.press_button()
    assert "not the same" in browser.problem
    fill(browser, NEW_PASSWORD, NEW_PASSWORD)
    browser.press_button()
    assert browser.heading == "Your password is changed"
    browser.open(system.mail(user["email"], VERIFICATION).link)
    browser.press_button()
    assert browser.heading == "Your e-mail address is confirmed"
    browser.open(link)
    assert browser.heading == "This link does not work any more"


def test_behind_the_path_of_a_stage_or_proxy(system: System, browser: Browser, user: User) -> None:
    browser.prefer()
    with behind_prefix(system.url, "/prod/accounts") as url:
        browser.open(reset_link(system, user).replace(system.url, url))
        fill(browser, NEW_PASSWORD, NEW_PASSWORD)
        browser.press_button()
        assert browser.heading == "Your password is changed"
        browser.open(system.mail(user["email"], VERIFICATION).link.replace(system.url, url))
        browser.press_button()
        assert browser.heading == "Your e-mail address is confirmed"


def test_by_keyboard_alone(system: System, browser: Browser, user: User) -> None:
    browser.prefer()
    browser.open(reset_link(system, user))
    browser.press(Keys.TAB)
    password = browser.focused
    assert password.accessible_name == "New password"
    browser.press(NEW_PASSWORD, Keys.TAB)
    assert browser.focused.accessible_name == "New password, once more"
    browser.press("something else", Keys.ENTER)
    browser.wait_until_gone(password)

    password = browser.focused
    assert password.accessible_name == "New password", "the focus is on the field with the problem"
    assert password.get_attribute("aria-invalid") == "true"
    assert password.get_attribute("aria-describedby") == "problem rules", "a screen reader reads the problem first"
    browser.press(NEW_PASSWORD, Keys.TAB, NEW_PASSWORD, Keys.TAB)
    assert browser.focused.accessible_name == "Set new password"
    assert browser.focused.value_of_css_property("outline-style") == "solid", "the focus is visible"
    browser.press(Keys.SPACE)
    browser.wait_until_gone(password)
    assert browser.heading == "Your password is changed"
    assert system.log_in(user["email"], NEW_PASSWORD).status_code == 201


def test_what_a_password_manager_finds(system: System, browser: Browser, user: User) -> None:
    browser.prefer()
    browser.open(reset_link(system, user))
    name = browser.one("[autocomplete=username]")
    assert name.get_attribute("value") == user["credentials"]["username"]
    assert not name.is_displayed()
    new = browser.driver.find_elements(By.CSS_SELECTOR, "[type=password][autocomplete=new-password]")
    assert len(new) == 2


def test_too_short_is_told_before_it_is_sent(system: System, browser: Browser, user: User) -> None:
    browser.prefer()
    browser.open(reset_link(system, user))
    fill(browser, "short", "short")
    browser.one("button").click()
    assert browser.focused.get_attribute("name") == "password"
    assert browser.driver.execute_script("return document.activeElement.validity.tooShort")


@pytest.mark.parametrize("language", ["en-GB,en;q=0.9", "de-AT,de;q=0.9,en;q=0.5"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_every_page_is_accessible_and_fits(
    browser: Browser, reset_page: str, verification_page: str, language: str, scheme: str, width: int
) -> None:
    browser.prefer(scheme=scheme, language=language, width=width)
    browser.console()  # messages that the pages of other tests left
    for arrive in _pages(browser, reset_page, verification_page):
        arrive()
        assert browser.accessibility_violations() == []
        assert not browser.scrolls_sideways()
        assert [entry for entry in browser.console() if REFUSED not in entry] == []
        assert browser.one("html").get_attribute("lang") == language[:2]
        smallest = min(each.size["height"] for each in browser.controls())
        assert smallest >= 44, "each target is as large as a thumb"


def _pages(browser: Browser, reset_page: str, verification_page: str) -> list[Callable[[], None]]:
    """Return functions that open every page without using its token."""

    def open_with_problem() -> None:
        browser.open(reset_page)
        for field, text in zip(browser.driver.find_elements(By.CSS_SELECTOR, "[type=password]"), "ab", strict=True):
            field.send_keys(text * 10)
        browser.press_button()

    return [
        lambda: browser.open(verification_page),
        lambda: browser.open(reset_page + "x"),
        lambda: browser.open(reset_page),
        open_with_problem,
    ]


@pytest.fixture(scope="module")
def somebody(system: System) -> User:
    return system.register()


@pytest.fixture(scope="module")
def reset_page(system: System, somebody: User) -> str:
    return reset_link(system, somebody)


@pytest.fixture(scope="module")
def verification_page(system: System, somebody: User) -> str:
    return system.mail(somebody["email"], VERIFICATION).link
