"""S13 50 wrong logins at once never pass more than the limit: one atomic statement, no count-then-insert."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.parallel import Environments
from tests.people import log_in, person
from tests.service import Service, eventually


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
    """Eight that all saw room for one more: a single address cannot use up what an identity has over all addresses."""
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
