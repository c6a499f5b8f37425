"""GET /docs, the page for reading and trying the API on one machine."""

import re

import pytest

from tests.system import System

TYPES = {
    "/docs": "text/html; charset=utf-8",
    "/docs/page.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui.css": "text/css; charset=utf-8",
    "/docs/favicon-32x32.png": "image/png",
}


@pytest.mark.parametrize("path", TYPES)
def test_a_file_is_served_and_may_load_nothing_from_elsewhere(contract_system: System, path: str) -> None:
    answer = contract_system.call("GET", path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, TYPES[path])
    assert answer.content
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"


def test_the_page_names_files_of_its_own_only(contract_system: System) -> None:
    page = contract_system.call("GET", "/docs").text
    named = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert named == TYPES.keys() - {"/docs"} | {"/openapi.json"}
    assert 'url: "/openapi.json"' in contract_system.call("GET", "/docs/page.js").text


def test_head_has_no_body(contract_system: System) -> None:
    answer = contract_system.call("HEAD", "/docs")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(("method", "path"), [("GET", "/docs/"), ("GET", "/docs/../page.html"), ("POST", "/docs")])
def test_everything_else_goes_to_the_api(contract_system: System, method: str, path: str) -> None:
    answer = contract_system.call(method, path)
    assert (answer.status_code, answer.json()) == (404, {"message": "Not Found"})
