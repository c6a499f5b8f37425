"""The query parameters of a list: values, messages, and the order in which they are refused (contract §3.2)."""

import base64
import contextlib
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users.errors import BadRequest
from users.listing import ORDERS, Cursor, read_listing, read_tags
from users.models import Role, Status
from users.query import Query


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
    assert (read.role, read.verified, read.only_total, read.cursor) == (None, None, False, None)
    assert (read.metadata, read.contains, read.tags, read.created_from, read.created_to) == ({}, {}, [], None, None)
    assert not read.is_filtered


def test_empty_values_that_count_as_defaults() -> None:
    read = listing(status="", order="", dir="", role="", tags="", username="", id="", cursor="")
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
        ("created_to=", "invalid_query", "invalid query parameters"),
        ("cursor=x", "invalid_cursor", "invalid cursor"),
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


# Each line is refused before the next: contract §3.2 "Evaluation order". Messages that differ tell the order apart.
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


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.builds(Cursor, order=st.sampled_from(ORDERS), descending=st.booleans(), value=TEXT, id=TEXT))
def test_any_cursor_comes_back(cursor: Cursor) -> None:
    text = cursor.encode()
    assert Cursor.decode(text) == cursor
    assert quote(text, safe="") == text, "it goes into a URL as it is"


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "é",
        "!!!!",
        encoded([]),
        encoded({}),
        encoded("abcd"),
        encoded(None),
        encoded(1),
        encoded(["email", True, "a"]),
        encoded(["email", True, "a", "b", "c"]),
        encoded(["secret", True, "a", "b"]),
        encoded([["email"], True, "a", "b"]),
        encoded([{}, True, "a", "b"]),
        encoded(["email", 1, "a", "b"]),
        encoded(["email", True, 1, "b"]),
        encoded(["email", True, "a", None]),
        encoded(["email", True, "a\0", "b"]),
        encoded(["email", True, "a", "\ud800"]),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 6000).decode(),
        base64.urlsafe_b64encode(b"1" * 6000).decode(),
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Cursor.decode(text)
    assert (caught.value.code, caught.value.message) == ("invalid_cursor", "invalid cursor")


@given(st.text())
def test_no_cursor_raises_anything_but_bad_request(text: str) -> None:
    with contextlib.suppress(BadRequest):
        Cursor.decode(text)


def test_a_cursor_belongs_to_its_order_and_goes_without_offset() -> None:
    cursor = Cursor(order="email", descending=True, value="a", id="b").encode()
    assert listing(cursor=cursor, order="email").cursor is not None
    assert listing(cursor=cursor, order="email", offset="0").cursor is not None
    assert refusal(f"cursor={cursor}")[0] == "invalid_cursor"
    assert refusal(f"cursor={cursor}&order=email&dir=asc")[0] == "invalid_cursor"
    assert refusal(f"cursor={cursor}&order=email&offset=1")[0] == "invalid_cursor"
