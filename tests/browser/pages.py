"""A browser for the tests, with the checks that they make on a page."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

from local.parts.launch import ROOT

_AXE = ROOT / "tests" / "clients" / "node_modules" / "axe-core" / "axe.min.js"
_SECONDS = 20.0


class Browser:
    """One window of a browser."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Open an address, and wait until the page is loaded."""
        self.driver.get(url)

    def prefer(self, *, scheme: str = "light", language: str = "en", width: int = 1280, height: int = 800) -> None:
        """Set color scheme, language and screen size. A narrow screen is a phone's."""
        phone = width < 600
        self._command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        agent = self.driver.execute_script("return navigator.userAgent")
        self._command("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)

    @contextmanager
    def link_in_mail(self, mail_url: str, address: str, subject: str, text: str) -> Iterator[None]:
        """Open the link of the mail with this subject from the mail page, in a new tab, as a person does."""
        self.open(mail_url)
        mail = f"//div[@class='email'][contains(., '{address}')][contains(., '{subject}')]"
        self._wait_for(f"{mail}//button[.='Toggle HTML view']").click()
        self.driver.switch_to.frame(self._wait_for(f"{mail}//iframe"))
        page = self.driver.current_window_handle
        self._wait_for(f"//a[normalize-space()='{text}']").click()
        WebDriverWait(self.driver, _SECONDS).until(lambda driver: len(driver.window_handles) == 2)
        (opened,) = set(self.driver.window_handles) - {page}
        self.driver.switch_to.window(opened)
        self._wait_for("//h1")
        try:
            yield
        finally:
            self.driver.close()
            self.driver.switch_to.window(page)

    @property
    def heading(self) -> str:
        return self.one("h1").text

    @property
    def problem(self) -> str:
        """Return the text of the error that the page shows."""
        return self.one("[role=alert]").text

    def one(self, selector: str) -> WebElement:
        """Return the element of a CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def field(self, label: str) -> WebElement:
        """Return the field of a label."""
        name = self.driver.find_element(By.XPATH, f"//label[normalize-space()='{label}']").get_attribute("for")
        return self.driver.find_element(By.ID, str(name))

    def press_button(self) -> None:
        """Press the only button of the page, and wait for the next page."""
        button = self.one("button")
        button.click()
        self.wait_until_gone(button)

    def wait_until_gone(self, element: WebElement) -> None:
        """Wait until the browser has left the element's page and loaded the next one."""
        WebDriverWait(self.driver, _SECONDS).until(lambda _: _is_gone(element))

    def press(self, *keys: str) -> None:
        """Press keys. The focused element receives them."""
        ActionChains(self.driver).send_keys(*keys).perform()

    @property
    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def accessibility_violations(self) -> list[str]:
        """Return the violations of WCAG 2.2 AA and of best practices that axe-core finds.

        The driver loads axe-core, not the page.
        """
        self.driver.execute_script(_axe())
        found: dict[str, Any] = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run().then(done, error => done({error: String(error)}))"
        )
        assert "error" not in found, found
        assert found["passes"], "axe checked nothing"
        return [f"{rule['id']}: {node['html']}" for rule in found["violations"] for node in rule["nodes"]]

    def console(self) -> list[str]:
        """Return new messages of the browser's console: blocked by policy, not found, deprecated."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def controls(self) -> list[WebElement]:
        """Return the elements that can be pressed or typed into. Without any, return the page itself."""
        shown = self.driver.find_elements(By.CSS_SELECTOR, "button, input, a")
        return [each for each in shown if each.is_displayed()] or [self.one("main")]

    def scrolls_sideways(self) -> bool:
        """Return whether the page is wider than the window."""
        return bool(self.driver.execute_script("return document.documentElement.scrollWidth > window.innerWidth"))

    def _wait_for(self, path: str) -> WebElement:
        """Wait for the visible element of an XPath, and return it."""
        found = expected_conditions.visibility_of_element_located((By.XPATH, path))
        return WebDriverWait(self.driver, _SECONDS).until(found)

    def _command(self, command: str, **parameters: Any) -> None:
        self.driver.execute_cdp_cmd(command, parameters)


def _is_gone(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except StaleElementReferenceException:
        return True
    except WebDriverException as error:  # Chromium raises it for a moment while the next page loads
        if "does not belong to the document" not in str(error.msg):
            raise
        return True
    return False


@cache
def _axe() -> str:
    return _AXE.read_text(encoding="utf-8")
