"""GET /health (contract §1.6.25), and its checks of the dependencies."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import pytest

import dependencies
from local.parts.auth import AuthServer
from local.parts.postgres import PostgresServer
from tests.service import Answer, Service, eventually
from users.release import VERSION

UPSTREAM_KEYS = ["status", "version", "commit", "description", "build_time", "instance_id"]


def statuses(answer: Answer) -> dict[str, str]:
    """Return the statuses of the checks, by name."""
    return {name: check["status"] for name, (check,) in answer.json["checks"].items()}


def observed(answer: Answer, name: str) -> tuple[float, str]:
    check: dict[str, Any] = answer.json["checks"][name][0]
    return check["observedValue"], check["observedUnit"]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process and its children (SIGSTOP) during the block. Their ports still accept connections."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(ProcessLookupError):  # a worker of autovacuum ends before the signal reaches it
                os.kill(process.pid, signal.SIGCONT)


def test_health(own_service: Service) -> None:
    answer = own_service.call("health")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/health+json"
    assert list(answer.json) == [*UPSTREAM_KEYS, "checks"]
    assert answer.json["status"] == "pass"
    assert answer.json["description"] == "users service"
    assert answer.json["instance_id"]
    assert answer.text.endswith("}\n")
    assert statuses(answer) == dict.fromkeys(
        ["database:responseTime", "auth:responseTime", "spicedb:responseTime", "outbox:age"], "pass"
    )
    assert 0 < observed(answer, "database:responseTime")[0] < 1000
    assert observed(answer, "outbox:age") == (0.0, "s")


def test_the_version_and_upstreams_zero_values_where_nothing_was_built(service: Service) -> None:
    answer = service.call("health").json
    assert (answer["version"], answer["commit"], answer["build_time"]) == (VERSION, "ffffffff", "1970-01-01_00:00:00")


@pytest.mark.usefixtures("built_release")
def test_which_build_it_is(service: Service) -> None:
    answer = service.call("health").json
    assert (answer["version"], answer["commit"], answer["build_time"]) == ("1.2.3", "0123abcd", "2026-11-25_12:00:00")


def test_the_instance_is_the_same_at_each_call(service: Service) -> None:
    first = service.call("health").json["instance_id"]
    assert service.call("health").json["instance_id"] == first
    with service.configured(MG_USERS_INSTANCE_ID="the-one"):
        assert service.call("health").json["instance_id"] == "the-one"


def test_spicedb_is_asked_where_it_is_configured(service: Service) -> None:
    with service.configured(MG_SPICEDB_HOST=""):
        assert "spicedb:responseTime" not in statuses(service.call("health"))
    with service.configured(MG_SPICEDB_PORT="1"):
        answer = service.call("health")
    assert (answer.status, answer.json["status"]) == (200, "warn")
    assert statuses(answer)["spicedb:responseTime"] == "warn"


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("MG_USERS_DB_HOST", "/nowhere", "database:responseTime"),
        ("MG_AUTH_GRPC_URL", "127.0.0.1:1", "auth:responseTime"),
    ],
)
def test_a_dependency_that_is_away(service: Service, variable: str, value: str, name: str) -> None:
    with service.configured(**{variable: value}):
        answer = service.call("health")
    assert (answer.status, answer.json["status"]) == (503, "fail")
    assert list(answer.json) == [*UPSTREAM_KEYS, "checks"]
    assert [each for each, status in statuses(answer).items() if status == "fail"] == [name]
    assert answer.json["checks"][name] == [
        {"componentType": answer.json["checks"][name][0]["componentType"], "status": "fail"}
    ]
    assert value not in answer.text, "an unauthenticated caller sees no address"


def test_an_auth_that_does_not_serve(service: Service, auth: AuthServer) -> None:
    with service.configured(MG_AUTH_GRPC_URL=f"127.0.0.1:{auth.ports.http}"):  # it answers, but not gRPC
        assert statuses(service.call("health"))["auth:responseTime"] == "fail"


def test_a_database_that_hangs(service: Service, postgres: PostgresServer) -> None:
    assert service.call("health").status == 200  # the service connects
    dependencies.forget()
    with stopped(postgres.pid):
        started = time.perf_counter()
        answer = service.call("health")
        assert time.perf_counter() - started < 1
        assert (answer.status, statuses(answer)["database:responseTime"]) == (503, "fail")
        assert statuses(answer)["auth:responseTime"] == "pass"
    eventually(lambda: service.call("health").status == 200)


def test_a_database_that_hangs_before_it_is_connected_to(service: Service, postgres: PostgresServer) -> None:
    with stopped(postgres.pid):
        started = time.perf_counter()
        answer = service.call("health")
        assert time.perf_counter() - started < 1
        assert (answer.status, statuses(answer)["database:responseTime"]) == (503, "fail")
    eventually(lambda: service.call("health").status == 200)


def test_an_auth_that_hangs(service: Service, auth: AuthServer) -> None:
    with stopped(auth.pid):
        started = time.perf_counter()
        answer = service.call("health")
        assert time.perf_counter() - started < 1
        assert (answer.status, statuses(answer)["auth:responseTime"]) == (503, "fail")
        assert statuses(answer)["database:responseTime"] == "pass"
    eventually(lambda: service.call("health").status == 200)


def test_an_outbox_that_is_not_delivered(own_service: Service) -> None:
    own_service.register()
    own_service.execute("UPDATE users_outbox SET created_at = now() - interval '1 hour' WHERE channel = 'event'")
    answer = own_service.call("health")
    assert (answer.status, answer.json["status"]) == (200, "warn")
    assert statuses(answer)["outbox:age"] == "warn"
    assert 3600 <= observed(answer, "outbox:age")[0] < 3700
    own_service.execute("UPDATE users_outbox SET parked_at = now() WHERE channel = 'event'")
    with own_service.configured():
        assert statuses(own_service.call("health"))["outbox:age"] == "pass"


def test_asking_often_asks_the_database_once(own_service: Service) -> None:
    with own_service.configured():
        first = own_service.call("health").json
        own_service.execute("DROP TABLE users_outbox")
        assert own_service.call("health").json == first
    with own_service.configured():
        assert own_service.call("health").status == 503
