"""S50 No account, and no set of accounts, makes a list, a search, a session list, a password change or a delivery fail.

The database contains the largest rows that registration accepts, and larger rows of a taken-over database.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from local.parts.nats import NatsServer
from tests.deliveries import events
from tests.people import NEW_PASSWORD, Person, administrator, claims, deliver, person, records, row
from tests.service import Answer, Service, registration

LAMBDA_ANSWER = 6 * 1024 * 1024  # bytes of the whole answer, which contains the body as a text
BODY = 4 * 1024 * 1024
KIBIBYTES_64 = 64 * 1024
# Characters that need more bytes in an answer, in a row or in memory.
CHARACTERS = {"plain": "x", "quotes": '"', "backslashes": "\\", "control": "\x01", "emoji": "😀"}


def largest_metadata(kind: str) -> dict[str, Any]:
    """Return the largest accepted metadata: of one character, or of numbers that PostgreSQL writes with 302 digits."""
    if kind == "numbers":
        return {"a": [1e-300] * 216}
    width = len(json.dumps(CHARACTERS[kind], ensure_ascii=False).encode()) - 2
    return {"a": CHARACTERS[kind] * ((KIBIBYTES_64 - len('{"a":""}')) // width)}


def largest(kind: str) -> dict[str, Any]:
    """Return the largest accepted values of a registration."""
    character = CHARACTERS.get(kind, "x")
    return {
        "first_name": '"' * 254,
        "last_name": "\\" * 254,
        "metadata": largest_metadata(kind),
        "private_metadata": largest_metadata(kind),
        "tags": [character * 64] * 100,
        "profile_picture": "https://example.com/" + "x" * 2028,
    }


KINDS = [*CHARACTERS, "numbers"]


def lambda_bytes(answer: Answer) -> int:
    """Return the size of Lambda's answer, in JSON as its runtime for Python 3.12 and later writes it."""
    event = {"statusCode": answer.status, "headers": dict(answer.headers), "body": answer.text}
    return len(json.dumps(event, ensure_ascii=False).encode())


def assert_fits(answer: Answer) -> Any:
    assert answer.status == 200, answer.text[:200]
    assert lambda_bytes(answer) < LAMBDA_ANSWER
    assert len(answer.text.encode()) < BODY
    return answer.json


def multiply(service: Service, user_id: str, times: int, *, set_: str = "") -> list[str]:
    """Copy an account. Return the ids of the copies."""
    columns = "first_name, last_name, tags, metadata, private_metadata, profile_picture, status, role, created_at"
    made = service.execute(
        f"INSERT INTO users (id, email, username, {columns})"
        f" SELECT gen_random_uuid(), gen_random_uuid() || '@example.com', 'u' || substr(md5(random()::text), 1, 30),"
        f" {set_ or columns} FROM users, generate_series(1, %s) WHERE id = %s RETURNING id",
        *(times, user_id),
    )
    return [each["id"] for each in made]


@pytest.fixture
def filled(own_service: Service) -> tuple[Service, Person]:
    """Return a service whose database has 25 of the largest accounts of each kind, and an administrator."""
    boss = administrator(own_service)
    for kind in KINDS:
        answer = own_service.call("register_user", registration(**largest(kind)))
        assert answer.status == 201, answer.text[:200]
        assert lambda_bytes(answer) < LAMBDA_ANSWER
        multiply(own_service, answer.json["id"], 24)
    return own_service, boss


def stored(service: Service) -> dict[str, dict[str, Any]]:
    rows = service.execute("SELECT id, metadata, tags, profile_picture FROM users WHERE role = 0 AND status = 0")
    return {each["id"]: each for each in rows}


def assert_shown_or_left_out(user: dict[str, Any], row: dict[str, Any], large: list[str]) -> None:
    """Check that the answer contains a row's large values, or lists them as left out."""
    if "left_out" in user:
        assert user["left_out"] == large
        assert not user.keys() & set(large)
    else:
        assert all(user.get(name) == (row[name] or None) for name in large)
    assert user["first_name"]
    assert user["credentials"]["username"]


Page = Callable[[str], Any]


def by_limit(page: Page, limit: int) -> Iterator[dict[str, Any]]:
    """Yield users as upstream's clients do: add the limit to the offset until the total is reached."""
    offset = 0
    while offset < (answered := page(f"limit={limit}&offset={offset}"))["total"]:
        yield from answered["users"]
        offset += limit


def by_rows(page: Page, limit: int) -> Iterator[dict[str, Any]]:
    """Yield users, and add the number of received rows to the offset."""
    offset = 0
    while (answered := page(f"limit={limit}&offset={offset}"))["users"]:
        yield from answered["users"]
        offset += len(answered["users"])


def by_cursor(page: Page, limit: int) -> Iterator[dict[str, Any]]:
    cursor = ""
    while True:
        answered = page(f"limit={limit}&cursor={cursor}")
        yield from answered["users"]
        if not (cursor := answered.get("next_cursor", "")):
            return


WAYS: dict[str, tuple[str, str, list[str]]] = {
    "list": ("list_users", "role=user", ["tags", "metadata", "profile_picture"]),
    "search": ("search_users", "id=-", ["metadata"]),
}
SEARCH = "first_name=%22&last_name=%5C"


def query_of(way: str) -> tuple[str, str, list[str]]:
    operation, query, large = WAYS[way]
    return operation, SEARCH if way == "search" else query, large


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_s50_every_page_answers_and_no_client_misses_anybody(filled: tuple[Service, Person], way: str) -> None:
    service, boss = filled
    operation, query, large = query_of(way)
    everybody = stored(service)
    assert len(everybody) == 150

    def page(more: str) -> Any:
        return assert_fits(service.call(operation, token=boss.token, query=f"{query}&{more}"))

    for walk in (by_limit, by_rows, by_cursor):
        for limit in (100, 37):
            users = list(walk(page, limit))
            assert sorted(user["id"] for user in users) == sorted(everybody), walk
            for user in users:
                assert_shown_or_left_out(user, everybody[user["id"]], large)


@pytest.mark.parametrize("way", WAYS)
def test_s50_a_page_by_cursor_ends_early_and_is_complete(filled: tuple[Service, Person], way: str) -> None:
    service, boss = filled
    operation, query, _ = query_of(way)
    cursor = service.call(operation, token=boss.token, query=f"{query}&limit=1").json["next_cursor"]
    rows, pages = 0, 0
    while cursor:
        page = assert_fits(service.call(operation, token=boss.token, query=f"{query}&limit=100&cursor={cursor}"))
        assert page["total"] == 150
        assert all("left_out" not in user for user in page["users"])
        rows, pages, cursor = rows + len(page["users"]), pages + 1, page.get("next_cursor", "")
    assert rows == 149
    assert pages > 2


@pytest.mark.parametrize("way", WAYS)
def test_s50_nobodys_small_values_make_way_for_large_ones(filled: tuple[Service, Person], way: str) -> None:
    service, boss = filled
    operation, query, _ = query_of(way)
    small = person(service, first_name='"', last_name="\\", metadata={"m": 1})
    multiply(service, small.id, 30)
    ids = {each["id"] for each in service.execute("SELECT id FROM users WHERE metadata = '{\"m\": 1}'")}
    found: dict[str, dict[str, Any]] = {}
    for offset in (0, 100):
        page = assert_fits(service.call(operation, token=boss.token, query=f"{query}&limit=100&offset={offset}"))
        found |= {user["id"]: user for user in page["users"]}
    assert ids <= found.keys()
    assert all(found[user_id]["metadata"] == {"m": 1} for user_id in ids)
    assert any("left_out" in user for user in found.values())


@pytest.mark.parametrize("way", WAYS)
def test_s50_a_taken_over_row_that_is_larger_than_any_answer(own_service: Service, way: str) -> None:
    operation, query, large = query_of(way)
    boss = administrator(own_service)
    giant = person(own_service, first_name='"', last_name="\\")
    own_service.execute(
        "UPDATE users SET metadata = jsonb_build_object('a', repeat('\"', 9000000)), created_at = now() + '1 h',"
        " tags = array_fill('t'::text, '{2000000}') WHERE id = %s",
        giant.id,
    )
    beside = [person(own_service, first_name='"', last_name="\\", metadata={"m": 1}).id for _ in range(2)]
    cursor = ""
    for _ in range(3):
        page = assert_fits(own_service.call(operation, token=boss.token, query=f"{query}&limit=1&cursor={cursor}"))
        (user,) = page["users"]
        assert (user.get("left_out") == large) is (user["id"] == giant.id)
        cursor = page.get("next_cursor", "")
    assert cursor == ""
    page = assert_fits(own_service.call(operation, token=boss.token, query=query))
    assert [user["id"] for user in page["users"] if user.get("metadata") == {"m": 1}] == beside[::-1]


@pytest.mark.parametrize("way", WAYS)
def test_s50_a_row_that_is_compressed_a_hundredfold_is_not_even_measured(own_service: Service, way: str) -> None:
    """A page of such rows would take the database seconds, and end in its time limit."""
    operation, query, large = query_of(way)
    boss, packed = administrator(own_service), person(own_service, first_name='"', last_name="\\")
    for size, is_shown in ((500_000, True), (600_000, False)):
        statement = "UPDATE users SET metadata = jsonb_build_object('a', repeat('x', %s)) WHERE id = %s"
        own_service.execute(statement, size, packed.id)
        (user,) = assert_fits(own_service.call(operation, token=boss.token, query=query))["users"]
        assert user.get("left_out", []) == ([] if is_shown else large)
    (stored_,) = own_service.execute("SELECT pg_column_size(metadata) AS bytes FROM users WHERE id = %s", packed.id)
    assert stored_["bytes"] < 10_000


# --- limits


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("metadata_too_large", {"metadata": {"a": "x" * KIBIBYTES_64}}),
    ("metadata_too_large", {"metadata": {"a": [1e-300] * 300}}),
    ("private_metadata_too_large", {"private_metadata": {"a": "x" * KIBIBYTES_64}}),
    ("too_many_tags", {"tags": [""] * 101}),
    ("tag_too_long", {"tags": [uuid.uuid4().hex * 125]}),
    ("profile_picture_too_long", {"profile_picture": "https://example.com/" + "x" * 2048}),
]


@pytest.mark.parametrize(("code", "part"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_s50_what_is_larger_is_refused_wherever_it_is_sent(service: Service, code: str, part: dict[str, Any]) -> None:
    assert service.call("register_user", registration(**part)).error == (400, code)
    ada, boss = person(service), administrator(service)
    before = row(service, ada.id)
    operations = {"update_user"}
    operations |= {"update_user_tags"} if "tags" in part else set()
    operations |= {"update_profile_picture"} if "profile_picture" in part else set()
    for operation in operations:
        for caller in (ada, boss):
            assert service.call(operation, part, token=caller.token, user_id=ada.id).error == (400, code)
        assert service.call(operation, part, token=person(service).token, user_id=ada.id).status == 403
    assert row(service, ada.id) == before


def test_s50_a_long_description_is_refused_before_the_password_is_looked_at(service: Service) -> None:
    ada = person(service)
    for secret in (ada.secret, "wrong"):
        body = {"identity": ada.email, "secret": secret, "description": "x" * 256}
        assert service.call("issue_token", body).error == (400, "description_too_long")


def test_s50_larger_values_of_before_stay_and_do_not_hinder_other_changes(service: Service) -> None:
    ada = person(service)
    service.execute(
        "UPDATE users SET metadata = jsonb_build_object('a', repeat('x', 300000)), private_metadata = metadata,"
        " tags = array_fill('t'::text, '{200}'), profile_picture = 'https://example.com/' || repeat('x', 3000)"
        " WHERE id = %s",
        ada.id,
    )
    shown = service.call("view_profile", token=ada.token).json
    assert (len(shown["metadata"]["a"]), len(shown["tags"]), len(shown["profile_picture"])) == (300_000, 200, 3020)
    whole = {name: shown[name] for name in ("metadata", "tags", "profile_picture")}
    for body in ({"first_name": "Augusta"}, {"last_name": "King", **whole}, {"private_metadata": {"a": 1}}):
        assert service.call("update_user", body, token=ada.token, user_id=ada.id).status == 200
    assert service.call("update_user_tags", {"tags": shown["tags"]}, token=ada.token, user_id=ada.id).status == 200
    for body in ({"metadata": {"b": "x" * 300_000}}, {"tags": ["t"] * 201}):
        assert service.call("update_user", body, token=ada.token, user_id=ada.id).status == 400
    body = {"old_secret": ada.secret, "new_secret": NEW_PASSWORD}
    assert service.call("update_user_secret", body, token=ada.token).status == 200


# --- sessions


def add_sessions(service: Service, who: Person, count: int, description: str) -> None:
    """Insert sessions that began after the session of ``who``, as Auth stores them."""
    with psycopg.connect(service.auth_environment["MG_AUTH_DB_URL"]) as connection:
        connection.execute(
            "INSERT INTO auth.refresh_tokens (id, user_id, description, expires_at)"
            " SELECT gen_random_uuid(), %s, %s, now() + interval '25 hours' FROM generate_series(1, %s)",
            (who.id, description, count),
        )


def sessions_left(service: Service, who: Person) -> int:
    with psycopg.connect(service.auth_environment["MG_AUTH_DB_URL"]) as connection:
        found = connection.execute("SELECT count(*) FROM auth.refresh_tokens WHERE user_id = %s", [who.id]).fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize("character", ["😀", "\x01", '"'])
def test_s50_a_long_session_list_answers_with_every_session(service: Service, character: str) -> None:
    ada = person(service)
    add_sessions(service, ada, 4500, character * 255)
    add_sessions(service, ada, 10, "laptop")
    answer = assert_fits(service.call("list_refresh_tokens", token=ada.token))
    tokens = answer["refresh_tokens"]
    assert len(tokens) == 4511
    assert tokens[0] == {"id": claims(ada.refresh_token)["jti"]}
    assert answer["left_out"] == ["description"]
    assert sum(token.get("description") == "laptop" for token in tokens) == 10
    assert "total" not in answer
    revoked = service.call("revoke_refresh_token", {"token_id": tokens[-1]["id"]}, token=ada.token)
    assert revoked.status == 204


def test_s50_a_session_list_tells_how_many_there_are_beyond_it(service: Service) -> None:
    ada = person(service)
    add_sessions(service, ada, 20_100, "x")
    answer = assert_fits(service.call("list_refresh_tokens", token=ada.token))
    assert (len(answer["refresh_tokens"]), answer["total"]) == (20_000, 20_101)
    assert "left_out" not in answer


@pytest.mark.long
def test_s50_a_password_change_ends_thousands_of_sessions(emptied_service: Service) -> None:
    service = emptied_service
    ada = person(service, **largest("quotes"))
    add_sessions(service, ada, 4500, "😀" * 255)
    body = {"old_secret": ada.secret, "new_secret": NEW_PASSWORD}
    assert_fits(service.call("update_user_secret", body, token=ada.token))
    revocations = records(service, ada.id, "revocation")
    assert sum(len(each["payload"]["token_ids"]) for each in revocations) == 4501
    assert max(len(each["payload"]["token_ids"]) for each in revocations) <= 200
    assert deliver("revocation")["delivered"] == len(revocations)
    assert sessions_left(service, ada) == 0


# --- deliveries


@pytest.fixture
def own_nats(tmp_path: Any) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "nats") as server:
        yield server


def changes_of(service: Service, who: Person) -> None:
    """Make every change whose event contains the row's large values, and one change whose event contains none."""
    for operation, body in (
        ("update_user", {"last_name": "King"}),
        ("update_user_tags", {}),
        ("update_profile_picture", {}),
        ("update_username", {"username": f"u{uuid.uuid4().hex[:12]}"}),
    ):
        assert service.call(operation, body, token=who.token, user_id=who.id).status == 200


@pytest.mark.parametrize("kind", KINDS)
def test_s50_the_largest_event_is_told_whole(emptied_service: Service, own_nats: NatsServer, kind: str) -> None:
    with emptied_service.configured(MG_USERS_ES_URL=own_nats.url, MG_USERS_READ_EVENTS="true"):
        ada = person(emptied_service, **largest(kind))
        changes_of(emptied_service, ada)
        assert emptied_service.call("view_profile", token=ada.token).status == 200
        counts = emptied_service.deliver()
    assert (counts["refused"], counts["parked"], counts["unavailable"]) == (0, 0, 0)
    payloads = [event.payload for event in events(own_nats.url)]
    assert len(payloads) == 7
    assert all("left_out" not in payload for payload in payloads)
    assert sum(payload.get("metadata") == largest(kind)["metadata"] for payload in payloads) == 4
    assert all(len(json.dumps(payload, ensure_ascii=False).encode()) < 256 * 1024 for payload in payloads)


def grow(service: Service, who: Person) -> None:
    """Give an account the largest values of a taken-over database."""
    service.execute(
        "UPDATE users SET metadata = jsonb_build_object('a', repeat('é', 1000000)), tags = array_fill('t'::text, '{9}')"
        ", profile_picture = 'https://' || repeat('x', 1200000) WHERE id = %s",
        who.id,
    )


def test_s50_an_event_that_is_too_large_is_told_without_the_large_part(
    emptied_service: Service, own_nats: NatsServer
) -> None:
    with emptied_service.configured(MG_USERS_ES_URL=own_nats.url):
        ada = person(emptied_service)
        grow(emptied_service, ada)
        changes_of(emptied_service, ada)
        counts = emptied_service.deliver()
    assert (counts["refused"], counts["parked"], counts["unavailable"]) == (0, 0, 0)
    assert records(emptied_service, ada.id, "event") == []
    payloads = {event.payload["operation"]: event.payload for event in events(own_nats.url)}
    assert payloads["user.update"]["left_out"] == ["metadata"]
    assert payloads["user.update"]["tags"] == ["t"] * 9
    assert payloads["user.update"]["last_name"] == "King"
    assert "metadata" not in payloads["user.update"]
    assert payloads["user.update_profile_picture"]["left_out"] == ["profile_picture"]
    assert "left_out" not in payloads["user.update_username"], "small values behind the large ones are in the event"


def test_s50_a_stream_that_takes_less_is_told_less(
    emptied_service: Service, own_nats: NatsServer, with_stream: Callable[[str, int], None]
) -> None:
    with_stream(own_nats.url, 4096)
    with emptied_service.configured(MG_USERS_ES_URL=own_nats.url):
        emptied_service.register(metadata={"a": "x" * 5000})
        counts = emptied_service.deliver()
    assert (counts["refused"], counts["unavailable"]) == (0, 0)
    (event,) = events(own_nats.url)
    assert event.payload["left_out"] == ["metadata"]


@pytest.fixture
def with_stream() -> Callable[[str, int], None]:
    """Return a function that makes the stream of events with a limit for each message."""
    import asyncio

    import nats

    async def make(url: str, most_bytes: int) -> None:
        client = await nats.connect(url)
        await client.jetstream().add_stream(name="events", subjects=["events.>"], max_msg_size=most_bytes)
        await client.close()

    return lambda url, most_bytes: asyncio.run(make(url, most_bytes))
