"""GET /users (contract §1.5, §3.1, §3.2; decisions 22–24)."""

import base64
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.people import person
from tests.service import Service, eventually, forget
from users.repository import pages


@dataclass
class Population:
    """Accounts with a unique last name, so that a list finds only them, and an administrator."""

    service: Service
    token: str
    mark: str

    def add(self, **columns: Any) -> str:
        """Insert an account with these columns as upstream does. Return its id."""
        name = f"p{uuid.uuid4().hex[:12]}"
        row: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "email": f"{name}@example.com",
            "username": name,
            "first_name": "Ada",
        }
        row |= {"last_name": self.mark, "status": 0, "role": 0, **columns}
        names = ", ".join(row)
        places = ", ".join("%s" for _ in row)
        self.service.execute(f"INSERT INTO users ({names}) VALUES ({places})", *row.values())
        return str(row["id"])

    def page(self, **parameters: Any) -> dict[str, Any]:
        """Return the page of these accounts with more parameters."""
        query = urlencode({"last_name": self.mark, **parameters})
        answer = self.service.call("list_users", token=self.token, query=query)
        assert answer.status == 200, answer.text
        page: dict[str, Any] = answer.json
        return page

    def ids(self, **parameters: Any) -> set[str]:
        """Return the ids on the page."""
        return {user["id"] for user in self.page(limit=100, **parameters)["users"]}


@pytest.fixture(scope="module")
def administrator(shared_service: Service) -> str:
    with shared_service.configured():
        return shared_service.administrator()[1]


@pytest.fixture
def population(service: Service, administrator: str) -> Population:
    return Population(service, administrator, f"mark{uuid.uuid4().hex}")


@pytest.fixture
def alone(own_service: Service) -> Population:
    """Return a population in a database whose only other account is the administrator."""
    _, token = own_service.administrator()
    return Population(own_service, token, f"mark{uuid.uuid4().hex}")


# --- callers


def test_an_ordinary_user(service: Service) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    answer = service.call("list_users", token=token)
    assert (answer.status, answer.refusal) == (401, {"message": "email not verified", "error": "email_not_verified"})
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", user["id"])
    answer = service.call("list_users", token=token)
    assert (answer.status, answer.json) == (
        403,
        {"message": "not authorized to perform admin action", "error": "not_administrator"},
    )


def test_unverified_is_no_matter_where_it_is_allowed(service: Service) -> None:
    user = service.register()
    with service.configured(MG_ALLOW_UNVERIFIED_USER="true"):
        token = service.log_in(user["email"])
        assert service.call("list_users", token=token).error == (403, "not_administrator")


def test_nobody(service: Service) -> None:
    assert service.call("list_users").error == (401, "missing_token")


def test_the_query_is_checked_before_the_role(service: Service) -> None:
    token = person(service).token
    assert service.call("list_users", token=token, query="limit=0").error == (400, "invalid_limit")


# --- fields in an answer


def test_a_row_key_by_key(population: Population) -> None:
    user_id = population.add(
        tags=["a"],
        metadata='{"m":1}',
        private_metadata='{"p":1}',
        profile_picture="https://x/p.png",
        created_at="2026-01-02T03:04:05.5Z",
        updated_at="2026-01-03T03:04:05Z",
        updated_by="me",
        verified_at="2026-01-04T03:04:05Z",
        auth_provider="google",
        role=1,
        email=f"{population.mark}@example.com",
        username=population.mark,
    )
    assert population.page() == {
        "limit": 10,
        "total": 1,
        "users": [
            {
                "id": user_id,
                "first_name": "Ada",
                "last_name": population.mark,
                "tags": ["a"],
                "metadata": {"m": 1},
                "status": "enabled",
                "role": "admin",
                "profile_picture": "https://x/p.png",
                "credentials": {"username": population.mark},
                "email": f"{population.mark}@example.com",
                "created_at": "2026-01-02T03:04:05.5Z",
                "updated_at": "2026-01-03T03:04:05Z",
                "updated_by": "me",
                "verified_at": "2026-01-04T03:04:05Z",
            }
        ],
    }


def test_the_envelope(population: Population) -> None:
    for _ in range(6):
        population.add()
    answer = population.service.call(
        "list_users", token=population.token, query=f"last_name={population.mark}&offset=5&limit=10"
    )
    assert answer.text.startswith('{"limit":10,"offset":5,"total":6,"users":[{"id":')
    assert population.page(offset=6) == {"limit": 10, "offset": 6, "total": 6, "users": []}
    assert population.page(offset=2**63 - 1)["total"] == 6
    assert population.page(only_total="true", limit=3, offset=2) == {"limit": 3, "offset": 2, "total": 6, "users": []}


def test_nobody_matches(population: Population) -> None:
    assert population.page() == {"limit": 10, "total": 0, "users": []}


def test_an_event_only_where_asked(population: Population) -> None:
    service = population.service
    with service.configured(MG_USERS_READ_EVENTS="true"):
        population.page(status="all", tags="a", order="email", dir="asc")
    rows = service.execute("SELECT payload FROM users_outbox WHERE payload ->> 'last_name' = %s", population.mark)
    payload = rows[0]["payload"]
    assert isinstance(payload.pop("occurred_at"), int)
    assert payload.pop("request_id")
    assert payload == {
        "operation": "user.list",
        "total": 0,
        "offset": 0,
        "limit": 10,
        "token_type": "access token",
        "super_admin": True,
        "status": "all",
        "order": "email",
        "dir": "asc",
        "tags": ["a"],
        "last_name": population.mark,
    }
    population.page()
    assert len(service.execute("SELECT 1 FROM users_outbox WHERE payload ->> 'last_name' = %s", population.mark)) == 1


# --- filters


def test_by_status(population: Population) -> None:
    enabled, disabled, deleted = (population.add(status=status) for status in (0, 1, 2))
    assert population.ids() == population.ids(status="") == population.ids(status="enabled") == {enabled}
    assert population.ids(status="disabled") == {disabled}
    assert population.ids(status="deleted") == {deleted}
    assert population.ids(status="all") == {enabled, disabled, deleted}


def test_by_role(population: Population) -> None:
    user, admin = population.add(), population.add(role=1)
    assert population.ids(role="user") == {user}
    assert population.ids(role="admin") == {admin}
    assert population.ids(role="all") == population.ids() == {user, admin}


def test_by_verification(population: Population) -> None:
    no, yes = population.add(), population.add(verified_at="2026-01-01T00:00:00Z")
    assert population.ids(verified="true") == {yes}
    assert population.ids(verified="false") == {no}
    assert population.ids() == {no, yes}


@pytest.mark.parametrize("column", ["username", "email", "first_name", "id"])
def test_by_part_of_a_text_in_any_case(population: Population, column: str) -> None:
    mark = uuid.uuid4().hex[:12]
    found = population.add(**{column: f"x{mark}Yz"[:36]})
    population.add()
    assert population.ids(**{column: mark.upper()}) == {found}
    assert population.ids(**{column: f"{mark}y"}) == {found}
    assert population.ids(**{column: f"{mark}z"}) == set()


@pytest.mark.parametrize("wildcard", ["%", "_", "\\", "a%b", "\\%", "'", '"', "é"])
def test_wildcards_stand_for_themselves(population: Population, wildcard: str) -> None:
    found = population.add(first_name=f"x{wildcard}y")
    population.add(first_name="xaby")
    assert population.ids(first_name=wildcard) == {found}
    assert population.ids(first_name=f"x{wildcard}y") == {found}


def test_by_metadata(population: Population) -> None:
    one = population.add(metadata='{"a":1,"b":{"c":[1,2]},"é":"😀"}')
    two = population.add(metadata='{"a":2}')
    none = population.add(metadata=None, private_metadata='{"a":1}')
    for part in ('{"a":1}', '{"b":{"c":[2]}}', '{"b":{}}', '{"é":"😀"}', '{"a":1.0}'):
        assert population.ids(metadata=part) == {one}
    assert population.ids(metadata='{"a":3}') == set()
    assert population.ids(metadata="{}") == population.ids(metadata="null") == {one, two, none}


def test_by_tags(population: Population) -> None:
    a, b = population.add(tags=["a"]), population.add(tags=["b", "x y"])
    ab, none = population.add(tags=["a", "b"]), population.add(tags=None)
    odd = population.add(tags=["a,b", "a+b", " s "])
    assert population.ids(tags="a") == {a, ab}
    assert population.ids(tags="a,b") == {a, b, ab}
    assert population.ids(tags="a , b") == {a, b, ab}
    assert population.ids(tags="a+b") == {ab}, "urlencode sends %2B"
    assert population.ids(tags="a +  b") == {ab}
    assert population.ids(tags="a,b+a,b") == {odd}
    assert population.ids(tags=" s ") == {odd}
    assert population.ids(tags="x y") == {b}
    assert population.ids(tags="a,") == {a, ab}
    assert population.ids(tags="c") == set()
    assert population.ids(tags="") == {a, b, ab, none, odd}
    raw = population.service.call("list_users", token=population.token, query=f"last_name={population.mark}&tags=x+y")
    assert [user["id"] for user in raw.json["users"]] == [b], "an unescaped plus is a space"


def test_by_dates_which_are_inclusive(population: Population) -> None:
    ids = [population.add(created_at=f"2026-01-0{day}T00:00:00Z") for day in (1, 2, 3)]
    unknown = population.add(created_at=None)
    assert population.ids(created_from="2026-01-02T00:00:00Z") == set(ids[1:])
    assert population.ids(created_to="2026-01-02T00:00:00Z") == set(ids[:2])
    assert population.ids(created_from="2026-01-02T02:00:00+02:00", created_to="2026-01-02T00:00:00.000Z") == {ids[1]}
    assert population.ids(created_from="2026-01-02T00:00:00.000001Z") == {ids[2]}
    assert population.ids() == {*ids, unknown}


def test_filters_are_anded(population: Population) -> None:
    found = population.add(tags=["a"], first_name="Grace", metadata='{"a":1}')
    population.add(tags=["a"], first_name="Grace")
    population.add(first_name="Grace", metadata='{"a":1}')
    assert population.ids(tags="a", first_name="grace", metadata='{"a":1}') == {found}


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT | st.text("%_\\ab", max_size=6), TEXT | st.text("%_\\ab", max_size=6))
def test_escape_like_against_the_real_ilike(service: Service, text: str, part: str) -> None:
    with psycopg.connect(service.conninfo) as connection:
        row = connection.execute(
            "SELECT %s ILIKE %s, position(lower(%s) IN lower(%s)) > 0",
            (text, f"%{pages.escape_like(part)}%", part, text),
        ).fetchone()
    assert row is not None
    assert row[0] == row[1]


# --- order

ORDERS = ["updated_at", "created_at", "first_name", "last_name", "username", "email"]


def order_value(user: dict[str, Any], order: str) -> str:
    """Return the value that orders a list. RFC 3339 without fractions sorts as text, and a missing time comes first."""
    zero = "0001-01-01T00:00:00Z"
    if order == "updated_at" and user["updated_at"] == zero:
        return str(user["created_at"])
    return str(user["credentials"].get("username", "") if order == "username" else user[order])


@pytest.fixture
def various(population: Population) -> Population:
    """Return accounts with ties, missing times, and names that need escaping in a URL."""
    for number in range(4):
        population.add(created_at="2026-01-01T00:00:00Z", first_name="same")
        population.add(created_at=f"2026-01-0{number + 1}T00:00:00Z", updated_at="2026-02-01T00:00:00Z")
        population.add(created_at=None, first_name="né\u200d\n😀+%")
        population.add(created_at=f"2026-01-0{number + 1}T00:00:00Z", username=None, first_name=f"Z{number}")
    return population


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("order", ORDERS)
def test_the_order_with_ties_by_id(various: Population, order: str, direction: str) -> None:
    users = various.page(order=order, dir=direction, limit=100)["users"]
    assert len(users) == 16
    keys = [(order_value(user, order), user["id"]) for user in users]
    assert keys == sorted(keys, reverse=direction == "desc")


def test_the_default_order(various: Population) -> None:
    default = various.page(limit=100)
    assert (
        default == various.page(limit=100, order="updated_at", dir="desc") == various.page(limit=100, order="", dir="")
    )


def walk(population: Population, between: Callable[[], Any], **parameters: Any) -> Iterator[str]:
    """Yield the ids of page after page by cursor."""
    cursor: dict[str, str] = {}
    while True:
        page = population.page(limit=3, **parameters, **cursor)
        assert len(page["users"]) <= 3
        yield from (user["id"] for user in page["users"])
        if "next_cursor" not in page:
            return
        cursor = {"cursor": page["next_cursor"]}
        between()


@pytest.mark.long
@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_cursor_visits_everybody_once_while_others_arrive(various: Population, order: str, direction: str) -> None:
    everybody = [user["id"] for user in various.page(order=order, dir=direction, limit=100)["users"]]

    def arrive() -> None:
        various.add(first_name="same", created_at="2026-01-01T00:00:00Z")
        various.add()

    for between in (lambda: None, arrive):
        visited = list(walk(various, between, order=order, dir=direction))
        assert len(visited) == len(set(visited))
        assert [user_id for user_id in visited if user_id in everybody] == everybody


def test_an_offset_visits_everybody_once(various: Population) -> None:
    everybody = [user["id"] for user in various.page(limit=100)["users"]]
    visited = [user["id"] for offset in range(0, 16, 3) for user in various.page(limit=3, offset=offset)["users"]]
    assert visited == everybody


def test_there_is_no_cursor_after_the_last_page(population: Population) -> None:
    for _ in range(4):
        population.add()
    assert "next_cursor" in population.page(limit=3)
    assert "next_cursor" not in population.page(limit=4)
    assert "next_cursor" not in population.page(limit=3, offset=3)


def test_a_cursor_of_the_release_before_is_refused(population: Population) -> None:
    """In the release before, a cursor was base64 of the last row's values."""
    made = base64.urlsafe_b64encode(b'["updated_at",true,"2026-06-26 10:11:12.3456+00","x"]').decode().rstrip("=")
    answer = population.service.call("list_users", token=population.token, query=f"cursor={made}")
    assert answer.error == (400, "invalid_cursor")


def test_filters_that_are_empty_narrow_nothing(population: Population) -> None:
    user_id = population.add(created_at="2026-01-02T00:00:00Z")
    assert population.ids(created_from="", created_to="", verified="", role="", tags="", email="") == {user_id}


# --- totals (decisions 23)


@pytest.fixture
def small_exact_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "EXACT_TOTAL", 5)


@pytest.mark.usefixtures("small_exact_total")
def test_a_total_is_exact_up_to_the_boundary(alone: Population) -> None:
    for _ in range(5):
        alone.add()
    for parameters in ({"limit": 2}, {"limit": 2, "offset": 2}, {"limit": 5}, {"only_total": "1"}):
        page = alone.page(**parameters)
        assert (page["total"], "total_is_estimate" in page) == (5, False)


@pytest.mark.usefixtures("small_exact_total")
@pytest.mark.parametrize("filtered", [True, False])
def test_a_total_beyond_the_boundary_is_never_too_low_while_a_row_follows(alone: Population, filtered: bool) -> None:
    for _ in range(12):
        alone.add()
    count = 12 if filtered else 13

    def page(**parameters: Any) -> dict[str, Any]:
        return alone.page(**({} if filtered else {"last_name": ""}), **parameters)

    offset, seen = 0, 0
    while True:
        answered = page(limit=2, offset=offset)
        seen += len(answered["users"])
        follows = offset + 2 < count
        assert answered.get("total_is_estimate", False) is follows
        if not follows:
            break
        assert answered["total"] > offset + 2
        offset += 2
    assert (seen, answered["total"]) == (count, count), "the last page is exact"
    assert page(limit=2, offset=50)["total"] == count, "an empty page is exact, too"
    assert page(only_total="true")["total"] == count
    assert "total_is_estimate" not in page(only_total="true")


@pytest.mark.usefixtures("small_exact_total")
def test_the_estimate_of_the_whole_table_is_the_servers(alone: Population) -> None:
    for _ in range(20):
        alone.add()
    alone.service.execute("ANALYZE users")
    page = alone.page(last_name="", limit=2)
    assert (page["total"], page["total_is_estimate"]) == (21, True)


@pytest.mark.usefixtures("small_exact_total")
def test_the_last_page_by_cursor_is_exact(alone: Population) -> None:
    for _ in range(7):
        alone.add()
    first = alone.page(limit=4)
    last = alone.page(limit=4, cursor=first["next_cursor"])
    assert (last["total"], "total_is_estimate" in last, len(last["users"])) == (7, False, 3)


def test_the_boundary_is_ten_thousand() -> None:
    assert pages.EXACT_TOTAL == 10_000


# --- limits of the database


def test_a_list_that_takes_too_long_says_what_to_do(alone: Population) -> None:
    service = alone.service
    name = service.environment["MG_USERS_DB_NAME"]
    service.execute(f"ALTER DATABASE {name} SET statement_timeout = '150ms'")
    forget()
    with psycopg.connect(service.conninfo, options="-c statement_timeout=0") as blocking:
        blocking.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        answer = service.call("list_users", token=alone.token)
    assert answer.error == (400, "query_too_expensive")
    assert "cursor" in answer.json["message"]


def test_a_big_page_of_big_rows(population: Population) -> None:
    for _ in range(100):
        population.add(metadata=f'{{"a":"{"x" * 5000}"}}')
    page = population.page(limit=100)
    assert (len(page["users"]), page["total"]) == (100, 100)


def test_a_query_that_takes_too_long_is_told_what_would_not(own_service: Service) -> None:
    _, token = own_service.administrator()
    own_service.execute(
        "INSERT INTO users (id, email, username, first_name, last_name)"
        " SELECT 'id' || n, n || '@example.com', 'name' || n, 'Ada', 'L' FROM generate_series(1, 50000) n"
    )
    (row,) = own_service.execute("SELECT current_database() AS name")
    own_service.execute(f"ALTER DATABASE \"{row['name']}\" SET statement_timeout = '1ms'")
    with own_service.configured():
        answer = own_service.call("list_users", token=token, query="first_name=zq")
    assert answer.error == (400, "query_too_expensive")
    assert "prefix" in answer.json["message"]
    assert "cursor" in answer.json["message"]


@pytest.mark.long
def test_a_total_is_counted_without_reading_the_accounts(own_service: Service) -> None:
    _, token = own_service.administrator()
    own_service.execute(
        "INSERT INTO users (id, email, username, first_name, last_name)"
        " SELECT 'id' || n, n || '@example.com', 'name' || n, 'Ada', 'L' FROM generate_series(1, 3000) n"
    )
    own_service.execute("VACUUM ANALYZE users")
    scans = "SELECT idx_scan, idx_tup_fetch FROM pg_stat_user_indexes WHERE indexrelname = 'users_status'"
    assert own_service.call("list_users", token=token).json["total"] == 3001
    forget()  # the end of the connection flushes its statistics
    (used,) = eventually(lambda: [each for each in own_service.execute(scans) if each["idx_scan"]])
    assert used["idx_scan"] == 1
    assert used["idx_tup_fetch"] < 100, "of 3001"
