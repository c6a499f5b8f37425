"""The selection of a route."""

from __future__ import annotations

import pytest

from local.gateway.http.routing import RouteTable
from local.gateway.stack import Route


def _table(*keys: str) -> RouteTable:
    return RouteTable(Route(method, path, "F") for method, path in (key.split() for key in keys))


# The first five are the example of AWS, "Create routes for HTTP APIs".
_ROUTES = _table(
    "ANY $default",
    "ANY /{proxy+}",
    "GET /pets/{proxy+}",
    "GET /pets/dog/{id}",
    "GET /pets/dog/1",
    "ANY /pets/dog/1",
    "GET /pets/cat/{proxy+}",
)

_USERS = _table(
    "POST /users",
    "GET /users/{id}",
    "GET /users/profile",
    "PATCH /users/{id}/tags",
    "PATCH /users/{id}/{what}",
)


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("GET", "/pets/dog/1", "GET /pets/dog/1"),
        ("GET", "/pets/dog/2", "GET /pets/dog/{id}"),
        ("GET", "/pets/bird/1", "GET /pets/{proxy+}"),
        ("GET", "/pets/cat/1/2", "GET /pets/cat/{proxy+}"),
        ("POST", "/test/5", "ANY /{proxy+}"),
        ("PUT", "/pets/dog/1", "ANY /pets/dog/1"),
        ("GET", "/", "$default"),
    ],
)
def test_priority(method: str, path: str, key: str) -> None:
    """The order is: full match, greedy, $default. An exact method precedes ANY, and literals precede variables."""
    match = _ROUTES.match(method, path)
    assert match is not None
    assert match.route.key == key


@pytest.mark.parametrize(
    ("method", "path", "key", "parameters"),
    [
        ("POST", "/users", "POST /users", {}),
        ("GET", "/users/profile", "GET /users/profile", {}),
        ("GET", "/users/%70rofile", "GET /users/profile", {}),
        ("GET", "/users/a%2Fb", "GET /users/{id}", {"id": "a/b"}),
        ("GET", "/users/a%20b+c", "GET /users/{id}", {"id": "a b+c"}),
        ("GET", "/users/%C3%A9", "GET /users/{id}", {"id": "é"}),
        ("PATCH", "/users/profile/tags", "PATCH /users/{id}/tags", {"id": "profile"}),
        ("PATCH", "/users/1/role", "PATCH /users/{id}/{what}", {"id": "1", "what": "role"}),
    ],
)
def test_variables(method: str, path: str, key: str, parameters: dict[str, str]) -> None:
    """A variable is one segment as it was sent, decoded."""
    match = _USERS.match(method, path)
    assert match is not None
    assert (match.route.key, match.path_parameters) == (key, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users"),
        ("HEAD", "/users/profile"),
        ("GET", "/users/"),
        ("POST", "/users/"),
        ("GET", "/users/profile/"),
        ("GET", "/Users/profile"),
        ("PATCH", "/users//tags"),
        ("POST", "//users"),
        ("GET", "/users/1/2/3"),
        ("OPTIONS", "*"),
    ],
)
def test_no_route(method: str, path: str) -> None:
    """A wrong method, a slash too many and an empty variable match no route."""
    assert _USERS.match(method, path) is None


def test_greedy_variable() -> None:
    """It matches the rest of the path, which must not be empty."""
    match = _ROUTES.match("GET", "/pets/a%2Fb/c/")
    assert match is not None
    assert match.path_parameters == {"proxy": "a/b/c/"}
    only_greedy = RouteTable([Route("GET", "/pets/{proxy+}", "F")])
    assert only_greedy.match("GET", "/pets/") is None
    assert only_greedy.match("GET", "/pets") is None
