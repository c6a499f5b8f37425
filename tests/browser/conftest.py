"""A real Chromium, headless, driven through Debian's chromedriver."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.browser.pages import Browser

_FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP *.example 127.0.0.1",  # as after DNS rebinding
)
_ENGLISH: dict[str, object] = {"intl.accept_languages": "en"}
_JAVASCRIPT_OFF: dict[str, object] = {"profile.managed_default_content_settings.javascript": 2}


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Yield Chromium with its default preferences."""
    with _chromium(tmp_path_factory.mktemp("chromium"), _ENGLISH) as driver:
        yield Browser(driver)


@pytest.fixture
def browser_without_javascript(tmp_path: Path) -> Iterator[Browser]:
    """Yield Chromium with JavaScript switched off for all sites."""
    with _chromium(tmp_path, _ENGLISH | _JAVASCRIPT_OFF) as driver:
        yield Browser(driver)


def _chromium(profile: Path, preferences: dict[str, object]) -> Chrome:
    """Start Chromium. If it is not installed, skip the test and show the command that installs it."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no Chromium; on Debian: apt-get update && apt-get install -y chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else []), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options, Service(chromedriver))
