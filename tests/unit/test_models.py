"""The User object and the page envelope, key by key (contract §1.5, §3.2)."""

import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users.models import ZERO_TIME, Page, Role, Status, User, rfc3339

MOMENT = datetime(2026, 6, 26, 10, 11, 12, 345_600, tzinfo=UTC)
WHOLE = User(
    id="7",
    first_name="Ada",
    last_name="L",
    tags=["a", "b"],
    metadata={"m": 1},
    private_metadata={"p": 2},
    status=Status.DISABLED,
    role=Role.ADMIN,
    profile_picture="http://x/p.png",
    username="ada",
    email="ada@example.com",
    created_at=MOMENT,
    updated_at=MOMENT,
    updated_by="8",
    verified_at=MOMENT,
    auth_provider="google",
)


def test_a_whole_user_in_the_order_of_the_contract() -> None:
    assert list(WHOLE.as_json().items()) == [
        ("id", "7"),
        ("first_name", "Ada"),
        ("last_name", "L"),
        ("tags", ["a", "b"]),
        ("metadata", {"m": 1}),
        ("private_metadata", {"p": 2}),
        ("status", "disabled"),
        ("role", "admin"),
        ("profile_picture", "http://x/p.png"),
        ("credentials", {"username": "ada"}),
        ("email", "ada@example.com"),
        ("created_at", "2026-06-26T10:11:12.3456Z"),
        ("updated_at", "2026-06-26T10:11:12.3456Z"),
        ("updated_by", "8"),
        ("verified_at", "2026-06-26T10:11:12.3456Z"),
        ("auth_provider", "google"),
    ]


def test_an_empty_user_keeps_what_is_never_left_out() -> None:
    assert User(id="7").as_json() == {
        "id": "7",
        "status": "enabled",
        "role": "user",
        "credentials": {},
        "created_at": ZERO_TIME,
        "updated_at": ZERO_TIME,
        "verified_at": ZERO_TIME,
    }


@pytest.mark.parametrize(("status", "word"), [(0, "enabled"), (1, "disabled"), (2, "deleted"), (3, "unknown")])
def test_statuses(status: int, word: str) -> None:
    assert User(id="7", status=status).as_json()["status"] == word


@pytest.mark.parametrize(("role", "word"), [(0, "user"), (1, "admin"), (2, "unknown")])
def test_roles(role: int, word: str) -> None:
    assert User(id="7", role=role).as_json()["role"] == word


COLUMNS = [field.name for field in fields(User) if field.name != "left_out"]


def test_null_in_a_row_is_the_default() -> None:
    assert User.from_row(dict.fromkeys(COLUMNS) | {"id": "7", "something": 1}) == User(id="7")


@pytest.mark.parametrize("missing", COLUMNS)
def test_a_column_that_was_not_selected(missing: str) -> None:
    row = dict.fromkeys(COLUMNS) | {"id": "7"}
    del row[missing]
    with pytest.raises(KeyError, match=missing):
        User.from_row(row)


def test_a_statement_that_selects_a_part_names_it() -> None:
    row = {"id": "7", "tags": None, "username": "ada"}
    assert User.from_row(row, ("id", "tags", "username")) == User(id="7", username="ada")
    with pytest.raises(KeyError, match="email"):
        User.from_row(row, ("id", "email"))


def test_a_page() -> None:
    page = Page(users=[User(id="7")], offset=5, limit=10, total=6)
    assert list(page.as_json()) == ["limit", "offset", "total", "users"]
    assert page.as_json() == {"limit": 10, "offset": 5, "total": 6, "users": [User(id="7").as_json()]}


def test_a_page_leaves_out_zero_and_adds_what_is_ours() -> None:
    assert Page(users=[], offset=0, limit=0, total=0).as_json() == {"total": 0, "users": []}
    page = Page(users=[], offset=0, limit=1, total=9, total_is_estimate=True, next_cursor="c")
    assert page.as_json() == {"limit": 1, "total": 9, "users": [], "total_is_estimate": True, "next_cursor": "c"}


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (None, "0001-01-01T00:00:00Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=UTC), "2026-01-02T03:04:05.000001Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 100_000, tzinfo=UTC), "2026-01-02T03:04:05.1Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05Z"),  # noqa: DTZ001 -- AT TIME ZONE 'UTC' gives such
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_times(moment: datetime | None, text: str) -> None:
    assert rfc3339(moment) == text


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_exact_and_has_no_trailing_zeros(moment: datetime) -> None:
    text = rfc3339(moment)
    assert datetime.fromisoformat(text) == moment
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?Z", text)
