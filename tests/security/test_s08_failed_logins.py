"""S8 An identity's 6th failed login from an address is blocked, its 31st over all addresses; nobody is locked out."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.parallel import Environments
from tests.people import Person, log_in, person
from tests.service import PASSWORD, Answer, Service, eventually, forget
from users.repository import database, logins

BLOCK = 15 * 60


def address() -> str:
    """One that nobody has used."""
    return str(uuid.uuid4())


def fail(service: Service, identity: str, source: str) -> Answer:
    return log_in(service, identity, "wrong password", address=source)


def block(service: Service, who: Person, source: str) -> None:
    for _ in range(5):
        assert fail(service, who.email, source).error == (401, "invalid_credentials")


def limits(service: Service, who: Person) -> list[dict[str, object]]:
    """The account's counters of logins, without the moment of the last hit."""
    statement = (
        "SELECT key, hits, expires_at FROM users_throttle WHERE user_id = %s AND key LIKE 'login:%%' ORDER BY key"
    )
    return service.execute(statement, who.id)


def test_s08_the_sixth_failure_is_blocked_and_so_is_the_right_password(service: Service) -> None:
    ada, source = person(service), address()
    block(service, ada, source)
    for password in ("wrong password", ada.secret):
        answer = log_in(service, ada.email, password, address=source)
        assert answer.error == (429, "too_many_requests")
        assert 0 < int(answer.headers["Retry-After"]) <= BLOCK


def test_s08_another_spelling_is_the_same_identity(service: Service) -> None:
    ada = person(service)
    for name, other in ((ada.email, ada.username), (ada.username, ada.email)):
        source = address()
        for identity in (name, name.upper(), name.capitalize(), name.upper(), name):
            assert fail(service, identity, source).status == 401
        for identity in (name, name.upper()):
            assert log_in(service, identity, ada.secret, address=source).status == 429
        assert log_in(service, other, ada.secret, address=source).error == (401, "invalid_credentials")


def test_s08_another_address_is_free(service: Service) -> None:
    ada = person(service)
    block(service, ada, address())
    assert log_in(service, ada.email, ada.secret, address=address()).status == 201


def test_s08_a_success_forgets_the_failures_of_its_address(service: Service) -> None:
    ada, source = person(service), address()
    for _ in range(2):
        for _ in range(4):
            assert fail(service, ada.email, source).status == 401
        assert log_in(service, ada.email, ada.secret, address=source).status == 201


def test_s08_attempts_while_blocked_extend_nothing(service: Service) -> None:
    ada, source = person(service), address()
    block(service, ada, source)
    before = limits(service, ada)
    for password in ("wrong password", ada.secret):
        assert log_in(service, ada.email, password, address=source).status == 429
    assert limits(service, ada) == before


def test_s08_the_window_does_not_slide(service: Service) -> None:
    """It ends when its first failure is 15 minutes old, whatever failures come after."""
    ada, source = person(service), address()
    assert fail(service, ada.email, source).status == 401
    ends = {each["key"]: each["expires_at"] for each in limits(service, ada)}
    for _ in range(4):
        assert fail(service, ada.email, source).status == 401
    after = {each["key"]: each["expires_at"] for each in limits(service, ada)}
    assert {key: after[key] for key in ends} == ends
    service.execute("UPDATE users_throttle SET expires_at = now() WHERE user_id = %s", ada.id)
    assert fail(service, ada.email, source).status == 401
    assert all(each["expires_at"] > ends[str(each["key"])] for each in limits(service, ada) if each["key"] in ends)


def test_s08_the_window_ends(service: Service) -> None:
    ada, source = person(service), address()
    block(service, ada, source)
    service.execute("UPDATE users_throttle SET expires_at = now() WHERE user_id = %s", ada.id)
    block(service, ada, source)
    assert log_in(service, ada.email, ada.secret, address=source).status == 429


def exhaust(service: Service, who: Person) -> None:
    """30 failures, five from each of six addresses."""
    for _ in range(6):
        block(service, who, address())


def test_s08_an_identity_is_limited_over_all_addresses(service: Service) -> None:
    ada = person(service)
    exhaust(service, ada)
    assert log_in(service, ada.email, ada.secret, address=address()).error == (429, "too_many_requests")


def test_s08_an_address_that_is_known_is_exempt(service: Service) -> None:
    """So that nobody can lock a named administrator out."""
    ada, home = person(service), address()
    assert log_in(service, ada.email, ada.secret, address=home).status == 201
    exhaust(service, ada)
    assert fail(service, ada.email, home).status == 401
    assert log_in(service, ada.email, ada.secret, address=home).status == 201
    service.execute(
        "UPDATE users_known_addresses SET logged_in_at = now() - interval '31 days' WHERE user_id = %s", ada.id
    )
    assert log_in(service, ada.email, ada.secret, address=home).status == 429


def test_s08_a_known_address_has_its_own_limit(service: Service) -> None:
    ada, home = person(service), address()
    log_in(service, ada.email, ada.secret, address=home)
    block(service, ada, home)
    assert fail(service, ada.email, home).status == 429


@pytest.mark.long
@pytest.mark.parametrize("sources", [1, 8])
def test_s08_right_logins_at_once_are_never_blocked(
    own_service: Service, environments: Environments, sources: int
) -> None:
    """Only wrong passwords are counted. Nor do they wait for each other in a circle."""
    service = own_service
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ada = person(service)
    service.execute("DELETE FROM users_throttle WHERE user_id = %s", ada.id)
    addresses = [address() for _ in range(sources)]
    body = {"identity": ada.email, "secret": ada.secret}
    calls = [{"operation": "issue_token", "body": body, "address": addresses[n % sources]} for n in range(40)]
    assert {answer.status for answer in environments.call(service, calls)} == {201}
    assert [limit for limit in limits(service, ada) if limit["hits"]] == [], "nothing is counted"
    assert service.execute(deadlocks) == [{"deadlocks": 0}]


@pytest.mark.long
def test_s08_nobody_waits_in_a_circle(own_service: Service, environments: Environments) -> None:
    """Right and wrong passwords at once, by both names and of a change, from networks that are parts of each other."""
    service = own_service
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    people = [person(service) for _ in range(2)]
    calls: list[dict[str, Any]] = []
    for number in range(120):
        who, secret = people[number % 2], "wrong password" if number % 3 else PASSWORD
        source = f"2001:db8:{number % 2}:{number % 5}::{number}"
        if number % 4:
            body = {"identity": who.email if number % 7 else who.username, "secret": secret}
            calls.append({"operation": "issue_token", "body": body, "address": source})
        else:
            body = {"old_secret": "wrong password", "new_secret": "another 9 staple horse"}
            calls.append({"operation": "update_user_secret", "body": body, "token": who.token, "address": source})
    assert {answer.status for answer in environments.call(service, calls)} <= {201, 401, 403, 429}
    assert service.execute(deadlocks) == [{"deadlocks": 0}]


def test_s08_what_is_stored_tells_no_address(service: Service) -> None:
    ada, source = person(service), f"2001:db8::{uuid.uuid4().hex[:4]}"
    fail(service, ada.email, source)
    log_in(service, ada.email, ada.secret, address=source)
    for table in ("users_throttle", "users_known_addresses"):
        assert not [
            each for each in service.execute(f"SELECT t::text AS text FROM {table} t") if source in each["text"]
        ]


@pytest.mark.long
def test_s08_a_statement_that_the_server_undid_is_sent_again(
    own_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two statements that wait for each other's limits: PostgreSQL ends the one whose patience ends first.

    It is sent again once the other one has its lock, not before: or both could meet in the same way once more.
    """
    service, real, has_its_lock = own_service, database._run, threading.Event()

    def run(*arguments: Any) -> Any:
        try:
            return real(*arguments)
        except psycopg.errors.DeadlockDetected:
            assert has_its_lock.wait(30)
            raise

    monkeypatch.setattr(database, "_run", run)
    (own,) = service.execute("SELECT current_database() AS name")
    alter = f'ALTER DATABASE "{own["name"]}"'
    service.execute(f"{alter} SET statement_timeout = 0")
    service.execute(f"{alter} SET deadlock_timeout = '3s'")  # time for the other one, on a busy machine, too
    forget()
    ada, source = person(service), address()
    assert fail(service, ada.email, source).status == 401
    lock = "SELECT FROM users_throttle WHERE key LIKE %s FOR UPDATE"
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as thread, psycopg.connect(service.conninfo) as other:
        other.execute("SET deadlock_timeout = '60s'")
        other.execute(lock, [f"login:identity:{ada.id}"])
        waiting = thread.submit(fail, service, ada.email, source)
        eventually(lambda: service.execute(waits))
        other.execute(lock, [f"login:pair:{ada.id}:%"])
        has_its_lock.set()
        other.commit()
        assert waiting.result().status == 401
    assert {each["hits"] for each in limits(service, ada)} == {2}, "counted once"


def test_s08_a_success_takes_the_limits_in_the_order_of_counting(service: Service) -> None:
    """While it waits for the first it holds none of the others: no circle with a login that is being counted."""
    ada, source = person(service), address()
    assert fail(service, ada.email, source).status == 401
    login = logins.begin_login(ada.email, source).login
    assert login is not None
    lock = "SELECT FROM users_throttle WHERE user_id = %s AND key LIKE %s FOR UPDATE NOWAIT"
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as thread, psycopg.connect(service.conninfo) as other:
        assert other.execute(lock, [ada.id, "login:typed_pair:%"]).rowcount == 1
        waiting = thread.submit(logins.confirm_password, login, source)
        eventually(lambda: service.execute(waits))
        assert other.execute(lock, [ada.id, "login:pair:%"]).rowcount == 1
        other.commit()
        assert waiting.result()
    kinds = {str(each["key"]).split(":")[1]: each["hits"] for each in limits(service, ada)}
    assert kinds == {"typed": 1, "identity": 1}
