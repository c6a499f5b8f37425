"""GET /users/search (contract §3.3, §3.4; decisions 22–24)."""

import uuid
from typing import Any

import pytest

from tests.people import ZERO_TIME, Person, administrator, event, person, records
from tests.service import Answer, Service


def search(service: Service, who: Person, query: str) -> Answer:
    return service.call("search_users", token=who.token, query=query)


def usernames(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.text
    return [user["credentials"]["username"] for user in answer.json["users"]]


def named(service: Service, *names: str, **changes: Any) -> None:
    for name in names:
        service.register(credentials={"username": name}, email=f"{name}@example.com", **changes)


@pytest.fixture
def mark() -> str:
    """Return a part of names that no other test finds."""
    return uuid.uuid4().hex[:10]


def test_a_card_of_each(service: Service, mark: str) -> None:
    bob = person(service)
    named(service, mark, metadata={"city": "London"}, private_metadata={"a": 1}, tags=["x"], profile_picture="p")
    answer = search(service, bob, f"username={mark}")
    (user,) = answer.json["users"]
    assert list(user) == [
        "id", "first_name", "last_name", "metadata", "status", "role", "credentials",
        "created_at", "updated_at", "verified_at",
    ]  # fmt: skip
    assert user["created_at"] != ZERO_TIME
    assert (user["updated_at"], user["verified_at"]) == (ZERO_TIME, ZERO_TIME)
    assert (user["status"], user["role"]) == ("enabled", "user")
    assert answer.text.startswith('{"limit":10,"total":1,"users":[')


def test_a_part_in_any_case(service: Service, mark: str) -> None:
    bob = person(service)
    named(service, f"Top-{mark}-x", f"lower-{mark}")
    assert len(usernames(search(service, bob, f"username={mark.upper()}"))) == 2
    assert usernames(search(service, bob, f"username=TOP-{mark}")) == [f"Top-{mark}-x"]


def test_filters_are_anded(service: Service, mark: str) -> None:
    bob = person(service)
    named(service, f"a{mark}", first_name="Grace", last_name="Hopper")
    named(service, f"b{mark}", first_name="Grace", last_name="Kelly")
    assert usernames(search(service, bob, f"username={mark}&first_name=grac&last_name=h")) == [f"a{mark}"]
    (found,) = search(service, bob, f"username=b{mark}").json["users"]
    assert usernames(search(service, bob, f"id={found['id'][3:20]}&first_name=race")) == [f"b{mark}"]


def test_only_enabled_ordinary_users_are_found(service: Service, mark: str) -> None:
    bob = person(service)
    boss = administrator(service, credentials={"username": f"boss{mark}"})
    named(service, *(f"{name}{mark}" for name in ("on", "off", "gone")))
    service.execute("UPDATE users SET status = 1 WHERE username = %s", f"off{mark}")
    service.execute("UPDATE users SET status = 2 WHERE username = %s", f"gone{mark}")
    for searcher in (bob, boss):
        assert usernames(search(service, searcher, f"username={mark}&status=all&role=admin")) == [f"on{mark}"]


def test_what_it_does_not_filter_by(service: Service, mark: str) -> None:
    bob = person(service)
    named(service, mark)
    assert usernames(search(service, bob, f"username={mark}&email=nobody&tags=no&metadata=%7B%22a%22%3A1%7D")) == [mark]


def test_wildcards_are_literal(service: Service, mark: str) -> None:
    """Upstream does not escape wildcards (contract §9 S28)."""
    bob = person(service)
    named(service, f"a_b{mark}", f"axb{mark}")
    assert usernames(search(service, bob, f"username=a_b{mark}")) == [f"a_b{mark}"]
    assert usernames(search(service, bob, f"username=%25b{mark}")) == []
    assert usernames(search(service, bob, f"username=%5C_b{mark}")) == []


def test_order_and_direction(service: Service, mark: str) -> None:
    """Upstream ignores both. Here the service ignores only an order by a field that the answer does not show."""
    bob = person(service)
    named(service, *(f"{letter}{mark}" for letter in "bca"))
    default = [f"{letter}{mark}" for letter in "acb"]
    assert usernames(search(service, bob, f"username={mark}")) == default
    for ignored in ("", "email", "secret", "verified_at"):
        assert usernames(search(service, bob, f"username={mark}&order={ignored}&dir=")) == default
    assert usernames(search(service, bob, f"username={mark}&order=username&dir=asc")) == sorted(default)
    assert usernames(search(service, bob, f"username={mark}&order=username")) == sorted(default, reverse=True)


def test_pages(service: Service, mark: str) -> None:
    bob = person(service)
    named(service, *(f"{number}{mark}" for number in range(5)))
    found, query = [], f"username={mark}&order=username&dir=asc&limit=2"
    for offset, size in ((0, 2), (2, 2), (4, 1)):
        page = search(service, bob, f"{query}&offset={offset}")
        assert page.json["total"] == 5
        assert page.json.get("offset", 0) == offset
        assert len(usernames(page)) == size
        found += usernames(page)
    assert found == [f"{number}{mark}" for number in range(5)]
    beyond = search(service, bob, f"{query}&offset=9").json
    assert (beyond["total"], beyond["users"]) == (5, [])


def test_cursors(service: Service, mark: str) -> None:
    bob = person(service)
    named(service, *(f"{number}{mark}" for number in range(5)))
    found, cursor = [], ""
    for _ in range(3):
        page = search(service, bob, f"username={mark}&order=username&dir=asc&limit=2&cursor={cursor}")
        found += usernames(page)
        cursor = page.json.get("next_cursor", "")
    assert found == [f"{number}{mark}" for number in range(5)]
    assert cursor == ""


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("", "empty_search", "search query must not be empty"),
        ("username=&first_name=", "empty_search", "search query must not be empty"),
        ("email=ada@example.com", "empty_search", "search query must not be empty"),
        ("username=ab", "search_too_short", "search query must be at least 3 bytes"),
        ("id=ab&first_name=Ada", "search_too_short", "search query must be at least 3 bytes"),
        ("username=abc&limit=0", "invalid_limit", "invalid limit size"),
        ("username=abc&limit=101", "invalid_limit", "invalid limit size"),
        ("username=abc&limit=x", "invalid_query", "invalid query parameters"),
        ("username=abc&offset=-1", "invalid_query", "invalid query parameters"),
        ("username=abc&username=abd", "invalid_query", "invalid query parameters"),
        ("username=abc&dir=asc&dir=asc", "invalid_query", "invalid query parameters"),
        ("username=abc&dir=up", "invalid_direction", "invalid list direction provided"),
        ("username=ab&offset=x", "invalid_query", "invalid query parameters"),
    ],
)
def test_what_is_no_search(service: Service, query: str, code: str, message: str) -> None:
    """Upstream answers a short one with ``something went wrong with the request`` (contract §9 B7)."""
    answer = search(service, person(service), query)
    assert answer.error == (400, code)
    assert answer.json["message"] == message


def test_three_bytes_are_enough(service: Service) -> None:
    bob = person(service)
    for query in ("username=%C3%A9x", "username=abc", "first_name=A", "last_name=q"):
        assert search(service, bob, query).status == 200


def test_the_event_where_reads_are_told(service: Service, mark: str) -> None:
    bob = person(service)
    before = len(records(service, bob.id, "event"))
    search(service, bob, f"username={mark}")
    assert len(records(service, bob.id, "event")) == before
    with service.configured(MG_USERS_READ_EVENTS="true"):
        search(service, bob, f"username={mark}&first_name=Ada&offset=1&limit=3")
    expected = {"total": 0, "offset": 1, "limit": 3, "username": mark, "first_name": "Ada"}
    assert event(service, bob.id, "user.search") == expected
