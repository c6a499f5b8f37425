"""S49 Search orders only by visible fields. A cursor reveals nothing and works only for its own list."""

import base64
import uuid
from typing import Any

import pytest

from tests.people import Person, administrator, logged_in, person
from tests.service import Answer, Service
from users.rules.listing import ORDERS, SEARCH_ORDERS

# Every column of `users`, and names that are no columns.
COLUMNS = [
    *(
        "id",
        "email",
        "secret",
        "tags",
        "metadata",
        "private_metadata",
        "created_at",
        "updated_at",
        "updated_by",
        "status",
    ),
    *("role", "username", "first_name", "last_name", "profile_picture", "verified_at", "auth_provider", "domain_id"),
    *("secret_changed_at", "tokens_valid_from", "disabled_at", "deleted_at", "u.email", "", "email,id", "lower(email)"),
]


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex[:10]


@pytest.fixture
def found(service: Service, mark: str) -> list[Person]:
    """Return four people whom a search for the mark finds. Each hidden column orders them differently."""
    people = []
    for username, email, other in (("a", "d", "2"), ("b", "a", "4"), ("c", "c", "1"), ("d", "b", "3")):
        name = f"{username}{mark}"
        service.register(email=f"{email}{mark}@example.com", credentials={"username": name}, first_name=f"N{username}")
        service.execute(
            "UPDATE users SET verified_at = %s, auth_provider = %s, updated_by = %s, secret = %s, profile_picture = %s,"
            " private_metadata = %s WHERE username = %s",
            *(f"200{other}-01-01T00:00:00Z", other, other, other, other, f'{{"a":{other}}}', name),
        )
        people.append(person_of(service, name))
    return people


def person_of(service: Service, username: str) -> Person:
    (row,) = service.execute("SELECT id, email FROM users WHERE username = %s", username)
    return Person(row["id"], row["email"], username, "", "", "")


def search(service: Service, who: Person, query: str) -> Answer:
    answer = service.call("search_users", token=who.token, query=query)
    assert answer.status == 200, answer.text
    return answer


def key(user: dict[str, Any], order: str) -> str:
    """Return the value of a user in an answer by the name of an order."""
    if order == "username":
        return str(user["credentials"]["username"])
    zero = "0001-01-01T00:00:00Z"
    return str(user["created_at"] if order == "updated_at" and user[order] == zero else user[order])


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize(
    "order",
    [
        column if column in {"email", *SEARCH_ORDERS} else pytest.param(column, marks=pytest.mark.long)
        for column in COLUMNS
    ],
)
def test_s49_search_orders_by_what_it_shows_and_ignores_all_else(
    service: Service, found: list[Person], mark: str, order: str, direction: str
) -> None:
    bob = person(service)
    default = search(service, bob, f"username={mark}&dir={direction}").json["users"]
    users = search(service, bob, f"username={mark}&dir={direction}&order={order}").json["users"]
    assert {user["id"] for user in users} == {each.id for each in found}
    if order in SEARCH_ORDERS:
        keys = [(key(user, order), user["id"]) for user in users]
        assert keys == sorted(keys, reverse=direction == "desc")
    else:
        assert users == default


@pytest.mark.parametrize("order", [*ORDERS, "verified_at", "secret"])
def test_s49_a_cursor_of_search_tells_nothing_and_is_walked_to_the_end(
    service: Service, found: list[Person], mark: str, order: str
) -> None:
    bob = person(service)
    visited, cursor, lengths = [], "", set()
    while True:
        page = search(service, bob, f"username={mark}&order={order}&limit=1&cursor={cursor}").json
        visited += [user["id"] for user in page["users"]]
        if "next_cursor" not in page:
            break
        cursor = page["next_cursor"]
        lengths.add(len(cursor))
        assert_reveals_nothing(service, cursor, found)
    assert sorted(visited) == sorted(each.id for each in found)
    assert len(lengths) == 1, "not even the length of the value is visible"


@pytest.mark.parametrize("order", ORDERS)
def test_s49_a_cursor_of_a_list_tells_nothing(service: Service, found: list[Person], mark: str, order: str) -> None:
    boss = administrator(service)
    answer = service.call("list_users", token=boss.token, query=f"username={mark}&order={order}&limit=1")
    assert_reveals_nothing(service, answer.json["next_cursor"], found)


def assert_reveals_nothing(service: Service, cursor: str, people: list[Person]) -> None:
    """Check that neither the cursor nor its bytes contain a value of any row."""
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    for each in people:
        (row,) = service.execute("SELECT to_jsonb(users) AS row FROM users WHERE id = %s", each.id)
        texts = [value for value in row["row"].values() if isinstance(value, str) and len(value) > 3]
        assert len(texts) > 5
        for text in (*texts, each.email.partition("@")[0]):
            assert text not in cursor
            assert text.encode() not in raw
            assert base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")[:-1] not in cursor


def with_another_character(text: str, place: int) -> str:
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]


def test_s49_a_cursor_that_was_changed_or_is_of_another_list_is_refused(
    service: Service, found: list[Person], mark: str
) -> None:
    bob, boss = person(service), administrator(service)
    query = f"username={mark}&limit=1"
    of_search = search(service, bob, query).json["next_cursor"]
    of_list = service.call("list_users", token=boss.token, query=query).json["next_cursor"]
    changed = [
        of_list[:place] + ("A" if of_list[place] != "A" else "B") + of_list[place + 1 :] for place in (0, 40, -2)
    ]
    for refused in (*changed, of_search, of_list[:-4], f"{of_list}AAAA"):
        answer = service.call("list_users", token=boss.token, query=f"{query}&cursor={refused}")
        assert answer.error == (400, "invalid_cursor")
    for other in (of_list, with_another_character(of_search, len(of_search) - 1)):
        answer = service.call("search_users", token=bob.token, query=f"{query}&cursor={other}")
        assert answer.error == (400, "invalid_cursor")
    for rest in ("&order=username", "&dir=asc", "&offset=1"):
        answer = service.call("search_users", token=bob.token, query=f"{query}&cursor={of_search}{rest}")
        assert answer.error == (400, "invalid_cursor")
    assert service.call("list_users", token=boss.token, query=f"{query}&cursor={of_list}").status == 200
    assert search(service, bob, f"{query}&cursor={of_search}").json["users"]


def test_s49_a_cursor_lets_nobody_in(service: Service, found: list[Person], mark: str) -> None:
    """An account that lost the role or was disabled cannot use a cursor from before."""
    boss = administrator(service)
    query = f"username={mark}&limit=1"
    cursor = service.call("list_users", token=boss.token, query=query).json["next_cursor"]
    administrator(service)  # keeps the other one from being the last administrator
    service.execute("UPDATE users SET role = 0 WHERE id = %s", boss.id)
    for token in (boss.token, logged_in(service, boss).token, person(service).token):
        answer = service.call("list_users", token=token, query=f"{query}&cursor={cursor}")
        assert answer.error == (403, "not_administrator")
    service.execute("UPDATE users SET status = 1 WHERE id = %s", boss.id)
    answer = service.call("list_users", token=boss.token, query=f"{query}&cursor={cursor}")
    assert answer.error == (401, "unauthenticated")
