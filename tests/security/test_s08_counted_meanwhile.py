"""S8: right logins use up no limit and wait for nobody else's, also when others change its row at the same moment.

PostgreSQL, where a row was changed by a transaction that a statement waited for, looks at the new row by itself: what
the statement joined it with has to be there still.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.parallel import Environments
from tests.people import administrator, log_in, mail_token, person
from tests.service import PASSWORD, Service, eventually, forget, registration
from users.peers import spicedb
from users.repository import logins
from users.rules import passwords

ACCOUNTS = 20
WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_SEED = """
    INSERT INTO users (id, email, username, first_name, last_name, secret, created_at, secret_changed_at, verified_at)
    SELECT gen_random_uuid(), n || '@example.com', 'user' || n, 'Ada', 'Lovelace', %s, now(), now(), now()
    FROM generate_series(1, %s) n RETURNING id"""


@pytest.fixture(params=["small", "grown"])
def planned_service(own_service: Service, request: pytest.FixtureRequest) -> Service:
    """The same, with the plans of tables that hold little, and with those of tables that have grown."""
    if request.param == "grown":
        (database,) = own_service.execute("SELECT current_database() AS name")
        for plan in ("enable_hashjoin", "enable_mergejoin", "enable_seqscan"):
            own_service.execute(f'ALTER ROLE CURRENT_USER IN DATABASE "{database["name"]}" SET {plan} = off')
        forget()
    return own_service


def meanwhile(service: Service, change: str, statement: Callable[[], Any]) -> Any:
    """What ``statement`` returns when somebody else's ``change`` of its row is committed while it waits for it."""
    with ThreadPoolExecutor() as thread, psycopg.connect(service.conninfo) as other:
        changed = other.execute(change)
        assert changed.rowcount == 1, "there is no such row"
        waiting = thread.submit(statement)
        eventually(lambda: service.execute(WAITS))
        other.commit()
        return waiting.result()


def counters(service: Service, kind: str) -> list[int]:
    return [each["hits"] for each in service.execute(f"SELECT hits FROM users_throttle WHERE key LIKE '{kind}:%%'")]


@pytest.mark.long
def test_s08_an_office_that_logs_in_is_never_blocked(own_service: Service, environments: Environments) -> None:
    service, address = own_service, "198.51.100.1"
    for row in service.execute(_SEED, passwords.hash_password(PASSWORD), ACCOUNTS):
        spicedb.grant(row["id"], 0)
    bodies = [{"identity": f"{n % ACCOUNTS + 1}@example.com", "secret": PASSWORD} for n in range(400)]
    calls = [{"operation": "issue_token", "body": body, "address": address} for body in bodies]
    assert {answer.status for answer in environments.call(service, calls)} == {201}
    assert service.execute("SELECT key FROM users_throttle WHERE hits > 0") == [], "nothing is counted"


@pytest.mark.parametrize("kind", ["typed_pair", "pair"])
def test_s08_a_right_login_forgets_what_is_counted_meanwhile(planned_service: Service, kind: str) -> None:
    """Of its own network it forgets all failures by this name."""
    service, address = planned_service, "2001:db8::1"
    ada = service.register()
    assert log_in(service, ada["email"], "wrong password", address=address).status == 401
    login = logins.begin_login(ada["email"], address).login
    assert login is not None
    change = f"UPDATE users_throttle SET hits = hits + 1 WHERE key LIKE 'login:{kind}:%'"
    assert meanwhile(service, change, lambda: logins.confirm_password(login, address))
    assert counters(service, f"login:{kind}") == []


@pytest.mark.parametrize("kind", ["address", "wide_address"])
def test_s08_a_right_login_waits_for_no_counter_of_its_network(planned_service: Service, kind: str) -> None:
    """Somebody else behind its address is being counted: it neither waits for that, nor changes it."""
    service, address = planned_service, "2001:db8::1"
    ada = service.register()
    assert log_in(service, ada["email"], "wrong password", address=address).status == 401
    with psycopg.connect(service.conninfo) as other:
        changed = other.execute(f"UPDATE users_throttle SET hits = hits + 1 WHERE key LIKE 'login:{kind}:%'")
        assert changed.rowcount == 1
        assert log_in(service, ada["email"], PASSWORD, address=address).status == 201
    assert counters(service, f"login:{kind}") == [2]


@pytest.mark.parametrize("kind", ["typed", "identity"])
def test_s08_a_known_network_waits_for_no_stranger(planned_service: Service, kind: str) -> None:
    """Somebody elsewhere who guesses its password is being counted: it neither waits for that, nor changes it."""
    service, address = planned_service, "2001:db8::1"
    ada = service.register()
    assert log_in(service, ada["email"], PASSWORD, address=address).status == 201
    assert log_in(service, ada["email"], "wrong password", address="2001:db8:1::1").status == 401
    with psycopg.connect(service.conninfo) as other:
        changed = other.execute(
            f"UPDATE users_throttle SET hits = hits + 1 WHERE key LIKE 'login:{kind}:%' AND hits = 1"
        )
        assert changed.rowcount == 1
        assert log_in(service, ada["email"], PASSWORD, address=address).status == 201
    assert counters(service, f"login:{kind}") == [2]


@pytest.mark.parametrize("kind", ["typed_wide_pair", "typed", "wide_pair", "identity"])
def test_s08_a_right_login_uses_up_no_limit(planned_service: Service, kind: str) -> None:
    service, address = planned_service, "2001:db8::1"
    ada = service.register()
    assert log_in(service, ada["email"], "wrong password", address=address).status == 401
    assert log_in(service, ada["email"], PASSWORD, address=address).status == 201
    assert counters(service, f"login:{kind}") == [1]


@pytest.mark.parametrize("kind", ["typed_pair", "typed", "pair", "identity"])
def test_s09_a_reset_forgets_what_is_counted_meanwhile(planned_service: Service, kind: str) -> None:
    service, address = planned_service, "192.0.2.1"
    ada = person(service)
    service.execute("DELETE FROM users_known_addresses")
    assert log_in(service, ada.email, "wrong password", address=address).status == 401
    body = {"password": "another 9 staple horse", "confirm_password": "another 9 staple horse"}
    token = mail_token(service, ada, "password_reset")
    change = f"UPDATE users_throttle SET hits = 4 WHERE key LIKE 'login:{kind}:%' AND hits = 1"
    assert meanwhile(service, change, lambda: service.call("reset_password", body, token=token)).status == 201
    assert service.execute("SELECT key FROM users_throttle WHERE user_id = %s AND key LIKE 'login:%%'", ada.id) == []


@pytest.mark.parametrize("name", ["email", "username"])
def test_s38_a_purge_forgets_what_is_counted_meanwhile(planned_service: Service, name: str) -> None:
    """A name that somebody typed before it was the account's."""
    service = planned_service
    body = registration()
    typed = body["email"] if name == "email" else body["credentials"]["username"]
    log_in(service, typed, "before there was an account", address="192.0.2.1")
    ada, boss = service.register(**body), administrator(service)
    key = "login:typed:' || encode(sha256(convert_to(%s, 'UTF8')), 'hex')"
    change = f"UPDATE users_throttle SET hits = hits + 1 WHERE key = '{key}"

    def purge() -> int:
        return service.call("delete_user", token=boss.token, user_id=ada["id"], query="purge=true").status

    assert meanwhile(service, change.replace("%s", f"'{typed}'"), purge) == 204
    assert service.execute(f"SELECT key FROM users_throttle WHERE key = '{key}", typed) == []


def test_s10_registrations_that_are_counted_meanwhile(planned_service: Service) -> None:
    service, address = planned_service, "192.0.2.1"
    with service.configured(MG_USERS_REGISTRATIONS_PER_HOUR="2"):
        assert service.call("register_user", registration(), address=address).status == 201
        change = "UPDATE users_throttle SET hits = hits + 1 WHERE key LIKE 'register:%'"
        call = meanwhile(service, change, lambda: service.call("register_user", registration(), address=address))
        assert call.error == (429, "too_many_requests")


def test_s12_mails_that_are_counted_meanwhile(planned_service: Service) -> None:
    service = planned_service
    with service.configured(MG_USERS_VERIFY_ON_REGISTER="false"):
        ada = person(service, verified=False)
    assert service.call("send_verification", token=ada.token).status == 200
    service.execute("UPDATE users_throttle SET expires_at = now() WHERE key LIKE 'mail:%%:minute:%%'")
    change = "UPDATE users_throttle SET hits = 5 WHERE key LIKE 'mail:%:hour:%'"
    meanwhile(service, change, lambda: service.call("send_verification", token=ada.token))
    sent = "SELECT 1 FROM users_outbox WHERE user_id = %s AND channel = 'mail' AND name = 'verification'"
    assert len(service.execute(sent, ada.id)) == 1
