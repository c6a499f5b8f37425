"""S13 50 wrong logins at once never exceed the limit: one atomic statement counts them, not a count and an insert."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from nacl import bindings

from tests.parallel import Environments
from tests.people import log_in, person
from tests.service import Answer, Service, eventually
from users.peers import auth
from users.repository import database
from users.rules.networks import networks_of


@pytest.mark.parametrize("known", [True, False])
def test_s13_of_one_identity_from_one_address(service: Service, environments: Environments, *, known: bool) -> None:
    identity, source = person(service).email if known else f"{uuid.uuid4()}@example.com", str(uuid.uuid4())
    body = {"identity": identity, "secret": "wrong password"}
    calls = [{"operation": "issue_token", "body": body, "address": source}] * 50
    statuses = [answer.status for answer in environments.call(service, calls)]
    assert statuses.count(401) == 5
    assert statuses.count(429) == 45


def test_s13_of_one_identity_from_many_addresses(service: Service, environments: Environments) -> None:
    body = {"identity": f"{uuid.uuid4()}@example.com", "secret": "wrong password"}
    calls = [{"operation": "issue_token", "body": body, "address": str(uuid.uuid4())} for _ in range(50)]
    statuses = [answer.status for answer in environments.call(service, calls)]
    assert statuses.count(401) == 30
    assert statuses.count(429) == 20


def test_s13_attempts_that_are_refused_use_up_no_wider_limit(service: Service, environments: Environments) -> None:
    """Eight attempts pass the first check together.

    One address cannot use up the identity's limit over all addresses.
    """
    ada, source = person(service), str(uuid.uuid4())
    service.execute("DELETE FROM users_known_addresses WHERE user_id = %s", ada.id)
    for _ in range(4):
        assert log_in(service, ada.email, "wrong password", address=source).status == 401
    call = {"operation": "issue_token", "body": {"identity": ada.email, "secret": "wrong password"}, "address": source}
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as thread, psycopg.connect(service.conninfo) as other:
        other.execute("SELECT FROM users_throttle WHERE key LIKE 'login:pair:' || %s || '%%' FOR UPDATE", [ada.id])
        answers = thread.submit(environments.call, service, [call] * 8)
        eventually(lambda: len(service.execute(waiting)) >= 8)
        other.commit()
        assert sorted(answer.status for answer in answers.result()) == [401] + [429] * 7
    hits = service.execute("SELECT hits FROM users_throttle WHERE key = 'login:identity:' || %s", ada.id)
    assert hits == [{"hits": 5}]
    assert log_in(service, ada.email, ada.secret, address=str(uuid.uuid4())).status == 201


def test_s13_a_right_guess_among_many_at_once_is_not_told(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is reached while the password is checked.

    A right guess gets the same answer and work as a wrong one.
    """
    ada, real, verify = person(service), database._run, bindings.crypto_pwhash_str_verify
    work: list[str] = []

    def note(connection: psycopg.Connection[dict[str, object]], statement: str, *rest: object) -> object:
        work.append(statement)
        return real(connection, statement, *rest)  # type: ignore[arg-type]

    def reach(hashed: bytes, password: bytes) -> bool:
        service.execute(
            "UPDATE users_throttle SET hits = 5 WHERE user_id = %s AND key LIKE 'login:typed_pair:%%'", ada.id
        )
        return bool(verify(hashed, password))

    def answered(secret: str) -> tuple[Answer, list[str]]:
        source = str(uuid.uuid4())
        assert log_in(service, ada.email, "wrong password", address=source).status == 401
        with monkeypatch.context() as patch:
            patch.setattr(database, "_run", note)
            patch.setattr("nacl.bindings.crypto_pwhash_str_verify", reach)
            patch.setattr(auth, "issue", lambda *_, **__: pytest.fail("Auth was asked"))
            work.clear()
            answer = log_in(service, ada.email, secret, address=source, headers={"x-request-id": "same"})
        return answer, list(work)

    (right, rights_work), (wrong, wrongs_work) = answered(ada.secret), answered("wrong password")
    assert right.error == wrong.error == (429, "too_many_requests")
    assert abs(int(right.headers["Retry-After"]) - int(wrong.headers["Retry-After"])) <= 2
    assert rights_work == wrongs_work


@pytest.mark.parametrize("began", [True, False], ids=["counted before", "first of all"])
@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        ("typed_pair", (429, "too_many_requests")),
        ("typed", (429, "too_many_requests")),
        ("pair", (401, "invalid_credentials")),
        ("identity", (401, "invalid_credentials")),
    ],
)
def test_s13_a_right_guess_takes_its_turn(
    service: Service, kind: str, refusal: tuple[int, str], *, began: bool
) -> None:
    """Earlier wrong guesses of this moment count before the right one, although their count is not committed yet."""
    ada, source = person(service), str(uuid.uuid4())
    if began:
        assert log_in(service, ada.email, "wrong password", address=source).status == 401
    key = {
        "typed_pair": "login:typed_pair:' || typed || ':' || near",
        "typed": "login:typed:' || typed",
        "pair": "login:pair:' || id || ':' || near",
        "identity": "login:identity:' || id",
    }[kind]
    counting = f"""
        INSERT INTO users_throttle (key, user_id, hits, expires_at, hit_at)
        SELECT '{key}, id, 30, now() + interval '15 minutes', now()
        FROM (SELECT %s AS id, encode(sha256(convert_to(lower(%s), 'UTF8')), 'hex') AS typed, %s AS near) named
        ON CONFLICT (key) DO UPDATE SET hits = 30"""
    near = networks_of(source).near
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as thread, psycopg.connect(service.conninfo) as other:
        other.execute(counting, [ada.id, ada.email, near])
        answer = thread.submit(log_in, service, ada.email, ada.secret, address=source)
        eventually(lambda: answer.done() or service.execute(waiting))
        other.commit()
        assert answer.result().error == refusal
