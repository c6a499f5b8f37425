"""The query parameters of a list: values, messages, and the order of their checks (contract §3.2)."""

from typing import Any
from urllib.parse import urlencode

import pytest

from users.errors import BadRequest
from users.models import Role, Status
from users.rules.listing import read_listing, read_search, read_tags
from users.rules.query_string import Query


def listing(**parameters: str) -> Any:
    return read_listing(Query(urlencode(parameters)))


def refusal(raw: str) -> tuple[str, str]:
    with pytest.raises(BadRequest) as caught:
        read_listing(Query(raw))
    return caught.value.code, caught.value.message


def test_the_defaults() -> None:
    read = listing()
    assert (read.offset, read.limit, read.status, read.order, read.descending) == (
        0,
        10,
        Status.ENABLED,
        "updated_at",
        True,
    )
    assert (read.role, read.verified, read.only_total, read.cursor) == (None, None, False, "")
    assert (read.metadata, read.contains, read.tags, read.created_from, read.created_to) == ({}, {}, [], None, None)
    assert not read.is_filtered


def test_empty_values_that_count_as_defaults() -> None:
    read = listing(
        **dict.fromkeys(("status", "order", "dir", "role", "tags", "username", "id", "cursor"), ""),
        **dict.fromkeys(("created_from", "created_to", "verified"), ""),
    )
    assert (read.status, read.order, read.descending, read.role) == (Status.ENABLED, "updated_at", True, None)
    assert not read.is_filtered


@pytest.mark.parametrize(
    ("text", "status"),
    [("enabled", Status.ENABLED), ("disabled", Status.DISABLED), ("deleted", Status.DELETED), ("all", None)],
)
def test_statuses(text: str, status: Status | None) -> None:
    assert listing(status=text).status is status


@pytest.mark.parametrize(("text", "role"), [("user", Role.USER), ("admin", Role.ADMIN), ("all", None)])
def test_roles(text: str, role: Role | None) -> None:
    assert listing(role=text).role is role


@pytest.mark.parametrize("name", ["username", "email", "first_name", "last_name", "id"])
def test_substrings(name: str) -> None:
    read = listing(**{name: "x%"})
    assert read.contains == {name: "x%"}
    assert read.is_filtered


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("0", False)])
def test_flags(text: str, flag: bool) -> None:
    assert listing(verified=text).verified is flag
    assert listing(only_total=text).only_total is flag


@pytest.mark.parametrize(
    ("raw", "tags", "all_of_them"),
    [
        ("a", ["a"], True),
        (" a ", [" a "], True),
        ("a,b", ["a", "b"], False),
        ("a, b ,", ["a", "b", ""], False),
        ("a+b", ["a", "b"], True),
        ("a + b", ["a", "b"], True),
        ("a+b,c", ["a", "b,c"], True),
        ("a b", ["a b"], True),
        ("+", ["", ""], True),
    ],
)
def test_tags(raw: str, tags: list[str], all_of_them: bool) -> None:
    assert read_tags(raw) == (tags, all_of_them)


def test_a_plus_on_the_wire_is_a_space() -> None:
    assert read_listing(Query("tags=a+b")).tags == ["a b"]
    assert read_listing(Query("tags=a%2Bb")).tags == ["a", "b"]


@pytest.mark.parametrize(
    ("raw", "code", "message"),
    [
        ("limit=0", "invalid_limit", "invalid limit size"),
        ("limit=101", "invalid_limit", "invalid limit size"),
        ("limit=", "invalid_query", "invalid query parameters"),
        ("offset=-1", "invalid_query", "invalid query parameters"),
        ("order=id", "invalid_order", "invalid list order provided"),
        ("order=UPDATED_AT", "invalid_order", "invalid list order provided"),
        ("dir=ASC", "invalid_direction", "invalid list direction provided"),
        ("status=Enabled", "invalid_status", "invalid status"),
        ("role=root", "invalid_role", "invalid client role"),
        ("verified=maybe", "invalid_query", "invalid query parameters"),
        ("only_total=", "invalid_query", "invalid query parameters"),
        ("metadata=[]", "invalid_query", "invalid query parameters"),
        ("created_from=today", "invalid_query", "invalid query parameters"),
        ("created_to=tomorrow", "invalid_query", "invalid query parameters"),
    ],
)
def test_refusals(raw: str, code: str, message: str) -> None:
    assert refusal(raw) == (code, message)


@pytest.mark.parametrize(
    "name",
    [
        *("status", "offset", "limit", "metadata", "username", "email", "first_name", "last_name", "id", "tags"),
        *("order", "dir", "only_total", "created_from", "created_to", "role", "verified", "cursor"),
    ],
)
def test_a_repeated_parameter_is_refused(name: str) -> None:
    assert refusal(f"{name}=1&{name}=1") == ("invalid_query", "invalid query parameters")


# Each line is refused before the next one (contract §3.2, evaluation order). Different messages prove the order.
ORDER_OF_REFUSALS = [
    ("dir=a&dir=b", "invalid_query"),
    ("status=x", "invalid_status"),
    ("only_total=x", "invalid_query"),
    ("limit=0", "invalid_limit"),
    ("order=x", "invalid_order"),
    ("dir=x", "invalid_direction"),
]


@pytest.mark.parametrize("first", range(1, len(ORDER_OF_REFUSALS)))
def test_the_order_of_refusals(first: int) -> None:
    raw, code = ORDER_OF_REFUSALS[first]
    later = [text for text, _ in ORDER_OF_REFUSALS[first + 1 :]]
    assert refusal("&".join([*reversed(later), raw]))[0] == code


def test_readable_values_come_before_values_in_range() -> None:
    assert refusal("limit=0&offset=x")[0] == "invalid_query"
    assert refusal("status=x&limit=x")[0] == "invalid_query"
    assert refusal("status=x&only_total=x")[0] == "invalid_status"


@pytest.mark.parametrize("order", ["email", "secret", "status", "verified_at", "u.email", "EMAIL", " email", "'"])
def test_search_ignores_an_order_that_its_answer_does_not_show(order: str) -> None:
    read = read_search(Query(urlencode({"username": "abc", "order": order, "dir": "asc"})))
    assert (read.order, read.descending) == ("updated_at", False)


def test_a_cursor_goes_without_offset() -> None:
    assert listing(cursor="x", offset="0").cursor == "x"
    assert listing().cursor == ""
    assert refusal("cursor=x&offset=1") == ("invalid_cursor", "a cursor goes without an offset")
