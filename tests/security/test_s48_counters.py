"""S48: counters do not reveal whether two names belong to one account, and stored counters contain no address."""

import hashlib
import uuid
from collections.abc import Callable

import psycopg
import pytest

from tests.people import Person, log_in, person, records
from tests.service import Answer, Service
from users.repository import database
from users.rules import networks

SAME = {"x-request-id": "same"}


def address() -> str:
    return str(uuid.uuid4())


def visible(answer: Answer) -> tuple[object, ...]:
    """Return all that a client sees, without the elapsed seconds."""
    waits = answer.headers.get("Retry-After", "")
    headers = {name: value for name, value in answer.headers.items() if name != "Retry-After"}
    return answer.status, answer.text, tuple(headers.items()), bool(waits)


def probe(service: Service, names: list[str], source: Callable[[], str]) -> list[tuple[object, ...]]:
    return [visible(log_in(service, name, "wrong password", address=source(), headers=SAME)) for name in names]


def pairs(service: Service) -> dict[str, tuple[str, str]]:
    """Return pairs of names: of one account, of two accounts, and of unknown ones."""
    ada, bob, eve = (person(service) for _ in range(3))
    return {
        "of one account": (ada.email, ada.username),
        "of two accounts": (bob.email, eve.username),
        "one is unknown": (eve.email, f"nobody-{uuid.uuid4()}"),
        "both are unknown": (f"{uuid.uuid4()}@example.com", f"nobody-{uuid.uuid4()}"),
    }


@pytest.mark.long
def test_s48_from_one_address(service: Service) -> None:
    """The test sends five wrong logins by the first name, then six by the second."""
    seen = {}
    for kind, (first, second) in pairs(service).items():
        source = address()
        seen[kind] = probe(service, [first] * 5 + [second] * 6, lambda source=source: source)  # type: ignore[misc]
        assert [status for status, *_ in seen[kind]] == [401] * 10 + [429]
    assert all(each == seen["of one account"] for each in seen.values())


@pytest.mark.long
def test_s48_over_all_addresses(service: Service) -> None:
    for kind, (first, second) in pairs(service).items():
        statuses = [status for status, *_ in probe(service, [first] * 31 + [second] * 31, address)]
        assert statuses == ([401] * 30 + [429]) * 2, kind


def test_s48_each_name_waits_for_its_own_window(service: Service) -> None:
    """``Retry-After`` depends on the typed name, not on earlier failures of another name."""
    ada, source = person(service), address()
    for _ in range(5):
        log_in(service, ada.email, "wrong password", address=source)
    service.execute(
        "UPDATE users_throttle SET expires_at = now() + interval '1 minute' WHERE user_id = %s AND key LIKE 'login:%%'",
        ada.id,
    )
    for _ in range(5):
        log_in(service, ada.username, "wrong password", address=source)
    waits = [
        int(log_in(service, name, "wrong password", address=source).headers["Retry-After"])
        for name in (ada.email, ada.username)
    ]
    assert waits[0] <= 60
    assert waits[1] > 800


@pytest.mark.parametrize("first", ["email", "username"])
def test_s48_another_name_brings_no_further_guesses(service: Service, first: str) -> None:
    ada, source = person(service), address()
    names = [ada.email, ada.username] if first == "email" else [ada.username, ada.email]
    for _ in range(5):
        log_in(service, names[0], "wrong password", address=source)
    before = len(records(service, ada.id, "event"))
    right = log_in(service, names[1], ada.secret, address=source, headers=SAME)
    assert right == log_in(service, names[1], "wrong password", address=source, headers=SAME)
    assert right.error == (401, "invalid_credentials")
    assert len(records(service, ada.id, "event")) == before


def test_s48_nor_does_it_over_all_addresses(service: Service) -> None:
    ada, home = person(service), address()
    assert log_in(service, ada.email, ada.secret, address=home).status == 201
    for _ in range(6):
        source = address()
        for _ in range(5):
            log_in(service, ada.email, "wrong password", address=source)
    assert log_in(service, ada.username, ada.secret, address=address()).error == (401, "invalid_credentials")
    assert log_in(service, ada.username, ada.secret, address=home).status == 201


def test_s48_a_right_login_by_one_name_leaves_the_others_counter(service: Service) -> None:
    """Otherwise a stranger at the owner's address would see the counter begin again."""
    ada, source = person(service), address()
    for _ in range(4):
        assert log_in(service, ada.email, "wrong password", address=source).status == 401
    assert log_in(service, ada.username, ada.secret, address=source).status == 201
    statuses = [log_in(service, ada.email, "wrong password", address=source).status for _ in range(2)]
    assert statuses == [401, 429]


def blocked_by_another_name(service: Service) -> tuple[Person, str]:
    ada, source = person(service), address()
    for _ in range(5):
        log_in(service, ada.email, "wrong password", address=source)
    return ada, source


def test_s48_the_work_is_the_same(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statements and the single verification are the same, also with the right password."""
    work: list[str] = []
    real, verify = database._run, "nacl.bindings.crypto_pwhash_str_verify"

    def note(connection: psycopg.Connection[dict[str, object]], statement: str, *rest: object) -> object:
        work.append(statement)
        return real(connection, statement, *rest)  # type: ignore[arg-type]

    from nacl import bindings

    real_verify = bindings.crypto_pwhash_str_verify

    def note_verification(hashed: bytes, password: bytes) -> bool:
        work.append("verification")
        return bool(real_verify(hashed, password))

    ada, source = blocked_by_another_name(service)
    monkeypatch.setattr(database, "_run", note)
    monkeypatch.setattr(verify, note_verification)
    done = []
    for name, secret, origin in (
        (ada.username, ada.secret, source),
        (ada.username, "wrong password", source),
        (ada.username, "wrong password", address()),
        (f"nobody-{uuid.uuid4()}", "wrong password", source),
    ):
        work.clear()
        assert log_in(service, name, secret, address=origin).status == 401
        done.append(list(work))
    assert done[0].count("verification") == 1
    assert all(each == done[0] for each in done)


def test_s48_the_same_rows_are_counted(own_service: Service) -> None:
    """An unknown name has as many counters as a known one."""
    service, counts = own_service, []
    ada = person(service)
    for name in (ada.email, f"nobody-{uuid.uuid4()}"):
        service.execute("DELETE FROM users_throttle")
        assert log_in(service, name, "wrong password", address="2001:db8::1").status == 401
        rows = service.execute("SELECT split_part(key, ':', 2) AS kind, hits FROM users_throttle ORDER BY 1")
        counts.append([tuple(each.values()) for each in rows])
    assert counts[0] == counts[1]
    assert len(counts[0]) == 8


def test_s48_no_digest_can_be_made_without_the_key(own_service: Service) -> None:
    service, source = own_service, "2001:db8:7::9"
    ada = person(service)
    log_in(service, ada.email, "wrong password", address=source)
    log_in(service, ada.email, ada.secret, address=source)
    service.call("register_user", {}, address=source)
    stored = "".join(
        each["text"]
        for table in ("users_throttle", "users_known_addresses")
        for each in service.execute(f"SELECT t::text AS text FROM {table} t")
    )
    texts = [source, "2001:db8:7::/64", "2001:db8:7::/48", "2001:db8:7::"]
    assert not any(hashlib.sha256(text.encode()).hexdigest() in stored or text in stored for text in texts)
    assert networks.networks_of(source).near in stored
    assert networks.networks_of(source).wide in stored
