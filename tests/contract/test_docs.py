"""GET /docs is a page for reading and trying the API, and GET / redirects to it."""

import gzip
import re
from urllib.parse import urljoin

import pytest

from local.docs import viewer
from tests.service import Service
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
    known = contract_system.call("GET", path, **{"If-None-Match": answer.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize("prefix", ["", "/behind/a/proxy"])
def test_the_page_names_files_of_its_own_only(contract_system: System, prefix: str) -> None:
    page = contract_system.call("GET", "/docs").text
    named = {urljoin(f"{prefix}/docs", link) for link in re.findall(r'(?:src|href)="([^"]+)"', page)}
    assert named == {f"{prefix}{path}" for path in TYPES.keys() - {"/docs"} | {"/openapi.json"}}
    assert 'url: "openapi.json"' in contract_system.call("GET", "/docs/page.js").text


def test_the_root_leads_to_the_page(contract_system: System) -> None:
    answer = contract_system.call("GET", "/")
    assert (answer.status_code, urljoin("/", answer.headers["Location"])) == (302, "/docs")


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js", "swagger-ui.css"])
def test_a_large_file_is_compressed_for_whoever_takes_that(contract_system: System, name: str) -> None:
    packed = contract_system.call("GET", f"/docs/{name}", **{"Accept-Encoding": "gzip, br"})
    plain = contract_system.call("GET", f"/docs/{name}", **{"Accept-Encoding": "identity"})
    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content, "httpx decompresses it"
    assert packed.headers["ETag"] != plain.headers["ETag"]


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "br, GZIP ; q=0.0", "x-gzip2"])
def test_nobody_gets_gzip_who_does_not_take_it(contract_system: System, accepted: str) -> None:
    answer = contract_system.call("GET", "/docs/swagger-ui.css", **{"Accept-Encoding": accepted})
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "/docs/", None),
        ("GET", "/docs/app.py", "not_found"),
        ("GET", "/docs/..%2fapp.py", "not_found"),
        ("GET", "/docs/swagger-ui.css.gz", "not_found"),
        ("POST", "/docs", None),
    ],
)
def test_there_is_nothing_else(contract_system: System, method: str, path: str, error: str | None) -> None:
    answer = contract_system.call(method, path)
    assert (answer.status_code, answer.json().get("error")) == (404, error)


def test_an_answer_fits_lambda(service: Service) -> None:
    """An answer fits into Lambda's 6 MB, also without compression."""
    answer = service.call("docs", pathParameters={"file": "swagger-ui-bundle.js"}, rawPath="/docs/swagger-ui-bundle.js")
    assert 1_000_000 < len(answer.text) < 5_000_000


def test_the_committed_files_are_those_of_the_lock_file() -> None:
    if not viewer.SOURCE.is_dir():
        pytest.skip("python3 local/install.py install viewer")
    for path, content in viewer.files().items():
        unpack = gzip.decompress if path.suffix == ".gz" else bytes  # other versions of zlib compress to other bytes
        assert unpack(path.read_bytes()) == unpack(content), f"{path.name}: run make generate"
