"""The web ACL limits the rate of each address for login, registration and reset."""

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest
from samtranslator.yaml_helper import yaml_parse

from tests.template.cloudformation import ROOT, template
from users.errors import TooManyRequests


def web_acl() -> dict[str, Any]:
    properties: dict[str, Any] = template()["Resources"]["WebAcl"]["Properties"]
    return properties


def rule(name: str) -> dict[str, Any]:
    (found,) = (each for each in web_acl()["Rules"] if each["Name"] == name)
    return dict(found)


def counts(method: str, path: str) -> bool:
    """Return whether the rate of login, registration and reset counts a request, by both patterns of its scope."""
    parts = rule("sign-in-rate")["Statement"]["RateBasedStatement"]["ScopeDownStatement"]["AndStatement"]["Statements"]
    of_method, of_path = (part["RegexMatchStatement"] for part in parts)
    assert of_method["FieldToMatch"] == {"Method": {}}
    assert of_path["FieldToMatch"] == {"UriPath": {}}
    assert [each["Type"] for each in of_path["TextTransformations"]] == ["URL_DECODE", "NORMALIZE_PATH"]
    normal = re.sub(r"/(\./)+", "/", unquote(path))
    return bool(re.search(of_method["RegexString"], method) and re.search(of_path["RegexString"], normal))


@pytest.mark.parametrize(
    ("method", "path", "counted"),
    [
        ("POST", "/users", True),
        ("POST", "/users/tokens/issue", True),
        ("POST", "/password/reset-request", True),
        ("PUT", "/password/reset", True),
        ("POST", "/password/reset", True),
        ("POST", "/users/", True),
        ("POST", "//users", True),
        ("POST", "/%75sers", True),
        ("POST", "/./users/tokens/issue", True),
        ("POST", "/users/tokens%2Fissue", True),
        ("GET", "/users", False),
        ("GET", "/password/reset", False),
        ("OPTIONS", "/users/tokens/issue", False),
        ("POST", "/users/tokens/refresh", False),
        ("POST", "/users/1/enable", False),
    ],
)
def test_login_registration_and_reset_have_a_rate_of_each_address(method: str, path: str, counted: bool) -> None:
    """The rate counts any spelling of a path."""
    rate = rule("sign-in-rate")["Statement"]["RateBasedStatement"]
    assert (rate["AggregateKeyType"], rate["Limit"], rate["EvaluationWindowSec"]) == ("IP", 100, 300)
    assert counts(method, path) is counted


def test_the_scope_names_routes_that_there_are() -> None:
    paths = template()["Resources"]["Api"]["Properties"]["Body"]["paths"]
    counted = {(method, path) for path, item in paths.items() for method in item if counts(method.upper(), path)}
    assert counted == {
        ("post", "/users"),
        ("post", "/users/tokens/issue"),
        ("post", "/password/reset-request"),
        ("post", "/password/reset"),
        ("put", "/password/reset"),
    }


@pytest.mark.parametrize("name", ["sign-in-rate", "rate"])
def test_a_client_can_read_why_it_is_refused(name: str) -> None:
    """The web ACL answers like the service: 429 with Retry-After and the same words."""
    response = rule(name)["Action"]["Block"]["CustomResponse"]
    assert response["ResponseCode"] == TooManyRequests.status
    assert [header["Name"] for header in response["ResponseHeaders"]] == ["Retry-After"]
    body = web_acl()["CustomResponseBodies"][response["CustomResponseBodyKey"]]
    own = TooManyRequests(1)
    assert body["ContentType"] == "APPLICATION_JSON"
    assert json.loads(body["Content"]) == {"message": own.message, "error": own.code}


def test_priorities_differ() -> None:
    priorities = [each["Priority"] for each in web_acl()["Rules"]]
    assert len(set(priorities)) == len(priorities)


def test_the_web_acl_of_other_regions_is_the_same() -> None:
    other = yaml_parse((ROOT / "web-acl.yaml").read_text())["Resources"]["WebAcl"]["Properties"]
    assert other == web_acl()
