"""Relations in SpiceDB, also when it fails (contract §5.8; decisions 28).

SpiceDB is ``local/auth``, which fails on demand (local.auth.faults).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from background.setup.admin import ensure_administrator
from local.parts.auth import AuthServer
from local.parts.postgres import PostgresServer
from tests.parallel import Environments
from tests.people import (
    Person,
    administrator,
    claims,
    deliver,
    is_alive,
    log_in,
    logged_in,
    person,
    records,
    relations,
    row,
)
from tests.service import ROOT, Answer, Service, eventually, registration
from users.peers import spicedb

# Away, hanging, the wrong key, no schema, a defect.
FAILURES = ["UNAVAILABLE", "HANG", "UNAUTHENTICATED", "FAILED_PRECONDITION", "INTERNAL"]
MOST_LONG = [FAILURES[0], *(pytest.param(status, marks=pytest.mark.long) for status in FAILURES[1:])]
SOME_LONG = [*FAILURES[:2], *MOST_LONG[2:]]
WRITE, DELETE = "WriteRelationships", "DeleteRelationships"
MEMBER, ADMINISTRATOR = {"member"}, {"member", "administrator"}


@dataclass(frozen=True)
class Faults:
    """The faults of the Auth that the tests of this module share."""

    url: str

    def add(self, method: str, status: str, **details: Any) -> None:
        answer = httpx.post(self.url, json={"method": method, "status": status, **details}, trust_env=False)
        assert answer.status_code == 201, answer.text

    def left(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(self.url, trust_env=False).json()
        return found

    def clear(self) -> None:
        httpx.delete(self.url, trust_env=False).raise_for_status()


@pytest.fixture(scope="module")
def failing_auth(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthServer]:
    server = AuthServer(
        postgres.create_database("auth_with_faults"),
        tmp_path_factory.mktemp("auth") / "keys",
        environment={**os.environ, "AUTH_FAULTS": "1"},
    )
    server.start()
    server.wait_ready()
    yield server
    server.stop()


@pytest.fixture
def faults(failing_auth: AuthServer) -> Iterator[Faults]:
    made = Faults(f"http://127.0.0.1:{failing_auth.ports.http}/faults")
    yield made
    made.clear()


@pytest.fixture
def service(own_service: Service, failing_auth: AuthServer) -> Iterator[Service]:
    """The operations on a database of their own, with the Auth that fails on demand."""
    elsewhere = own_service.asking(failing_auth, MG_AUTH_GRPC_TIMEOUT="400ms", MG_SPICEDB_TIMEOUT="400ms")
    with elsewhere.configured():
        yield elsewhere


def set_role(service: Service, who: Person, user_id: str, role: str) -> Answer:
    return service.call("update_user_role", {"role": role}, token=who.token, user_id=user_id)


def purge(service: Service, who: Person, user_id: str) -> Answer:
    return service.call("delete_user", token=who.token, user_id=user_id, query="purge=true")


def unavailable(answer: Answer) -> None:
    assert answer.error == (503, "service_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


# --- Upstream's table


def test_the_relations_after_each_operation(service: Service, faults: Faults) -> None:
    assert ensure_administrator() == "made the administrator"
    (first,) = service.execute("SELECT id FROM users")
    assert relations(service, first["id"]) == ADMINISTRATOR
    boss, ada = administrator(service), person(service)
    assert relations(service, ada.id) == MEMBER
    another = service.call("register_user", registration(role="admin"), token=boss.token).json
    assert relations(service, another["id"]) == ADMINISTRATOR
    set_role(service, boss, ada.id, "admin")
    assert relations(service, ada.id) == ADMINISTRATOR
    set_role(service, boss, ada.id, "user")
    assert relations(service, ada.id) == MEMBER
    for operation, status in (("disable_user", 200), ("enable_user", 200), ("delete_user", 204)):
        assert service.call(operation, token=boss.token, user_id=ada.id).status == status
        assert relations(service, ada.id) == MEMBER
    assert purge(service, boss, ada.id).status == 204
    assert relations(service, ada.id) == set()
    deliver("relation")
    assert relations(service, ada.id) == set()
    assert relations(service, first["id"]) == relations(service, another["id"]) == ADMINISTRATOR


def test_a_taken_name_leaves_no_relation(service: Service, failing_auth: AuthServer) -> None:
    """Upstream writes the relation before the row, and takes it back."""
    body = registration()
    ada = service.call("register_user", body).json
    assert service.call("register_user", body).status == 409
    with psycopg.connect(failing_auth.db_url) as connection:
        found = connection.execute("SELECT count(*) FROM auth.relationships WHERE subject_id = %s", [ada["id"]])
        assert found.fetchone() == (1,)


# --- Granting: committed first


@pytest.mark.parametrize("status", SOME_LONG)
def test_a_registration_is_repaired_by_the_relay(service: Service, faults: Faults, status: str) -> None:
    faults.add(WRITE, status)
    ada = service.register()
    assert relations(service, ada["id"]) == set()
    assert [each["payload"] for each in records(service, ada["id"], "relation")] == [{"user_id": ada["id"]}]
    unavailable(log_in(service, ada["email"]))
    counts = deliver("relation")
    assert (counts["unavailable"], counts["refused"], counts["parked"]) == (1, 0, 0)
    assert relations(service, ada["id"]) == set()
    faults.clear()
    assert deliver("relation")["delivered"] == 1
    assert relations(service, ada["id"]) == MEMBER
    assert records(service, ada["id"], "relation") == []
    assert log_in(service, ada["email"]).status == 201


def test_a_login_repairs_once(service: Service, faults: Faults) -> None:
    faults.add(WRITE, "UNAVAILABLE", calls=2)
    ada = service.register()
    unavailable(log_in(service, ada["email"]))
    assert faults.left() == [], "one call of the registration, one of the login"
    assert log_in(service, ada["email"]).status == 201
    assert relations(service, ada["id"]) == MEMBER
    assert deliver("relation")["delivered"] == 1
    assert relations(service, ada["id"]) == MEMBER


@pytest.mark.parametrize("status", MOST_LONG)
def test_a_promotion_is_repaired_by_the_relay(service: Service, faults: Faults, status: str) -> None:
    ada, boss = person(service), administrator(service)
    faults.add(WRITE, status)
    assert set_role(service, boss, ada.id, "admin").json["role"] == "admin"
    assert relations(service, ada.id) == MEMBER
    unavailable(log_in(service, ada.email, ada.secret))
    faults.clear()
    deliver("relation")
    assert relations(service, ada.id) == ADMINISTRATOR
    assert claims(logged_in(service, ada).token)["role"] == 2


@pytest.mark.parametrize("status", MOST_LONG)
def test_a_bootstrap_is_repaired_by_the_relay(service: Service, faults: Faults, status: str) -> None:
    faults.add(WRITE, status)
    assert ensure_administrator() == "made the administrator"
    (first,) = service.execute("SELECT id FROM users")
    assert relations(service, first["id"]) == set()
    faults.clear()
    deliver("relation")
    assert relations(service, first["id"]) == ADMINISTRATOR


def test_an_answer_that_was_lost_is_no_harm(service: Service, faults: Faults) -> None:
    """The relation is there, but nobody told: TOUCH makes the repetition harmless."""
    faults.add(WRITE, "HANG", calls=1, after=True)
    ada = service.register()
    assert relations(service, ada["id"]) == MEMBER
    assert deliver("relation")["delivered"] == 1
    assert relations(service, ada["id"]) == MEMBER


# --- Revoking: SpiceDB first


@pytest.mark.parametrize("status", MOST_LONG)
def test_a_demotion_that_cannot_be_told_changes_nothing(service: Service, faults: Faults, status: str) -> None:
    chief, boss = administrator(service), administrator(service)
    before = row(service, chief.id)
    faults.add(DELETE, status)
    unavailable(set_role(service, boss, chief.id, "user"))
    assert row(service, chief.id) == before
    assert is_alive(service, chief.token)
    assert [each for each in records(service, chief.id, "event") if each["name"] == "user.update_role"] == []
    faults.clear()
    deliver("relation")
    assert relations(service, chief.id) == ADMINISTRATOR
    assert set_role(service, boss, chief.id, "user").status == 200
    assert relations(service, chief.id) == MEMBER


def test_a_demotion_whose_answer_was_lost_gives_the_relation_back(service: Service, faults: Faults) -> None:
    chief, boss = administrator(service), administrator(service)
    faults.add(DELETE, "HANG", calls=1, after=True)
    unavailable(set_role(service, boss, chief.id, "user"))
    assert relations(service, chief.id) == MEMBER
    assert row(service, chief.id)["role"] == 1
    deliver("relation")
    assert relations(service, chief.id) == ADMINISTRATOR


def test_a_demotion_that_the_database_cannot_do_gives_the_relation_back(service: Service) -> None:
    chief, boss = administrator(service), administrator(service)
    service.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN RAISE EXCEPTION USING ERRCODE = 'query_canceled'; END $$"
    )
    service.execute("CREATE TRIGGER refuse BEFORE UPDATE OF role ON users FOR EACH ROW EXECUTE FUNCTION refuse()")
    unavailable(set_role(service, boss, chief.id, "user"))
    assert row(service, chief.id)["role"] == 1
    assert relations(service, chief.id) == ADMINISTRATOR


@pytest.mark.parametrize("status", MOST_LONG)
def test_a_purge_that_cannot_be_told_leaves_the_account_deleted(service: Service, faults: Faults, status: str) -> None:
    ada, boss = person(service), administrator(service)
    faults.add(DELETE, status)
    unavailable(purge(service, boss, ada.id))
    assert row(service, ada.id)["status"] == 2
    assert relations(service, ada.id) == MEMBER
    faults.clear()
    assert purge(service, boss, ada.id).status == 204
    assert relations(service, ada.id) == set()
    assert service.execute("SELECT id FROM users WHERE id = %s", ada.id) == []


def test_a_wrong_key(service: Service) -> None:
    chief, boss = administrator(service), administrator(service)
    with service.configured(MG_SPICEDB_PRE_SHARED_KEY="wrong"):
        ada = service.register()
        unavailable(set_role(service, boss, chief.id, "user"))
        assert deliver("relation")["unavailable"] > 0
    assert (relations(service, ada["id"]), relations(service, chief.id)) == (set(), ADMINISTRATOR)
    deliver("relation")
    assert (relations(service, ada["id"]), relations(service, chief.id)) == (MEMBER, ADMINISTRATOR)


# --- Repairs that come late


def test_a_demotion_overtakes_the_repair_of_a_promotion(service: Service, faults: Faults) -> None:
    ada, boss = person(service), administrator(service)
    faults.add(WRITE, "UNAVAILABLE")
    set_role(service, boss, ada.id, "admin")
    set_role(service, boss, ada.id, "user")
    faults.clear()
    deliver("relation")
    assert relations(service, ada.id) == MEMBER
    assert records(service, ada.id, "relation") == []


def test_a_promotion_overtakes_the_row_of_a_demotion(service: Service) -> None:
    ada, boss = administrator(service), administrator(service)
    set_role(service, boss, ada.id, "user")
    set_role(service, boss, ada.id, "admin")
    deliver("relation")
    assert relations(service, ada.id) == ADMINISTRATOR


def test_a_repair_gives_nothing_to_who_was_removed(service: Service, faults: Faults) -> None:
    boss = administrator(service)
    ada = person(service)
    faults.add(WRITE, "UNAVAILABLE")
    newcomer = service.register()
    set_role(service, boss, ada.id, "admin")
    for user_id in (newcomer["id"], ada.id):
        assert purge(service, boss, user_id).status == 204
    faults.clear()
    deliver("relation")
    assert relations(service, newcomer["id"]) == relations(service, ada.id) == set()
    assert service.execute("SELECT * FROM users_outbox WHERE channel = 'relation'") == []


# A write of a relation waits for whoever writes the same one, and a delete does not see it: so a grant is held up.
_HOLD = "INSERT INTO auth.relationships VALUES ('platform', 'magistrala', %s, 'user', %s)"
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


RELAY = "from tests.people import deliver; deliver('relation')"
BOOTSTRAP = "from background.setup.admin import ensure_administrator; ensure_administrator()"


@pytest.fixture
def run(service: Service) -> Iterator[Any]:
    """A starter of a program in a process of its own, with a long deadline."""
    paths = [ROOT, ROOT / "layers/common/python", ROOT / "layers/background/python"]
    environment = {**os.environ, **service.environment, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    environment |= {"MG_AUTH_GRPC_TIMEOUT": "20s", "MG_SPICEDB_TIMEOUT": "20s"}
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def waits(connection: psycopg.Connection[Any]) -> bool:
    return connection.execute(_WAITING).fetchone() == (1,)


@pytest.mark.long
def test_a_repair_that_is_on_its_way_during_a_demotion(
    service: Service, faults: Faults, failing_auth: AuthServer, run: Any
) -> None:
    ada, boss = person(service), administrator(service)
    faults.add(WRITE, "UNAVAILABLE")
    set_role(service, boss, ada.id, "admin")
    faults.clear()
    with psycopg.connect(failing_auth.db_url) as other:
        other.execute(_HOLD, ["administrator", ada.id])
        running = run(RELAY)
        eventually(lambda: waits(other))
        assert set_role(service, boss, ada.id, "user").json["role"] == "user"
        other.rollback()
    assert running.wait(30) == 0
    assert relations(service, ada.id) == MEMBER


@pytest.mark.long
def test_a_bootstrap_that_is_on_its_way_during_a_demotion(service: Service, failing_auth: AuthServer, run: Any) -> None:
    chief, boss = administrator(service), administrator(service)
    spicedb.revoke_everything(chief.id)
    with psycopg.connect(failing_auth.db_url) as other:
        other.execute(_HOLD, ["administrator", chief.id])
        running = run(BOOTSTRAP)
        eventually(lambda: waits(other))
        assert set_role(service, boss, chief.id, "user").json["role"] == "user"
        other.rollback()
    assert running.wait(30) == 0
    assert relations(service, chief.id) == MEMBER


@pytest.mark.long
def test_a_repair_that_is_on_its_way_during_a_removal(
    service: Service, faults: Faults, failing_auth: AuthServer, run: Any
) -> None:
    boss = administrator(service)
    faults.add(WRITE, "UNAVAILABLE")
    ada = service.register()
    faults.clear()
    with psycopg.connect(failing_auth.db_url) as other:
        other.execute(_HOLD, ["member", ada["id"]])
        running = run(RELAY)
        eventually(lambda: waits(other))
        assert purge(service, boss, ada["id"]).status == 204
        other.rollback()
    assert running.wait(30) == 0
    assert relations(service, ada["id"]) == set()


def test_a_promotion_that_is_on_its_way_during_a_demotion(service: Service, failing_auth: AuthServer) -> None:
    ada, boss = person(service), administrator(service)
    timeouts = {"MG_AUTH_GRPC_TIMEOUT": "20s", "MG_SPICEDB_TIMEOUT": "20s"}
    slow = Service(service.environment | timeouts, service.conninfo)
    promotion = {"operation": "update_user_role", "body": {"role": "admin"}, "token": boss.token, "user_id": ada.id}
    environment = Environments(1)
    try:
        with psycopg.connect(failing_auth.db_url) as other, ThreadPoolExecutor(1) as pool:
            other.execute(_HOLD, ["administrator", ada.id])
            promoted = pool.submit(environment.call, slow, [promotion])
            eventually(lambda: waits(other))
            assert set_role(service, boss, ada.id, "user").json["role"] == "user"
            other.rollback()
            assert promoted.result(30)[0].status == 200
    finally:
        environment.stop()
    assert relations(service, ada.id) == MEMBER


# --- What is asked


@pytest.mark.parametrize(
    "status",
    [
        "UNAVAILABLE",
        *(pytest.param(status, marks=pytest.mark.long) for status in ("HANG", "INTERNAL", "DEADLINE_EXCEEDED")),
    ],
)
def test_authorize_that_fails_is_no_refusal(service: Service, faults: Faults, status: str) -> None:
    ada, boss = person(service), administrator(service)
    faults.add("Authorize", status)
    unavailable(set_role(service, boss, ada.id, "admin"))
    assert row(service, ada.id)["role"] == 0


def test_who_is_no_administrator_there_is_none_here(service: Service, faults: Faults) -> None:
    ada, boss = person(service), administrator(service)
    faults.add("Authorize", "PERMISSION_DENIED", calls=1)
    assert set_role(service, boss, ada.id, "admin").error == (403, "forbidden")
    assert row(service, ada.id)["role"] == 0
    assert set_role(service, boss, ada.id, "admin").status == 200


# What asks the policy store about an administrator that acts on somebody else, with a body that is good.
ASKING: dict[str, dict[str, Any]] = {
    "list_users": {"query": "limit=1"},
    "view_user": {},
    "update_user": {"body": {"first_name": "Ada"}},
    "update_user_tags": {"body": {"tags": ["a"]}},
    "update_profile_picture": {"body": {"profile_picture": "https://example.com/p.png"}},
    "update_username": {"body": {"username": "another_name"}},
    "update_user_email": {"body": {"email": "another@example.com"}},
    "update_user_role": {"body": {"role": "admin"}},
    "disable_user": {},
    "enable_user": {},
    "delete_user": {},
    "register_user": {"body": registration(role="admin")},
}


def ask(service: Service, operation: str, boss: Person, user_id: str) -> Answer:
    path = {} if operation in {"list_users", "register_user"} else {"user_id": user_id}
    return service.call(operation, token=boss.token, **path, **ASKING[operation])


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(name, marks=[] if name in {"list_users", "register_user", "delete_user"} else pytest.mark.long)
        for name in ASKING
    ],
)
def test_a_policy_store_that_is_away_refuses_no_administrator(service: Service, faults: Faults, operation: str) -> None:
    """The real Auth answers PERMISSION_DENIED then, as for a refusal."""
    ada, boss = person(service), administrator(service)
    accounts = service.execute("SELECT * FROM users ORDER BY id")
    faults.add("CheckPermission", "UNAVAILABLE")
    unavailable(ask(service, operation, boss, ada.id))
    assert service.execute("SELECT * FROM users ORDER BY id") == accounts
    faults.clear()
    spicedb.revoke_administration(boss.id)
    assert ask(service, operation, boss, ada.id).error == (403, "forbidden")
    assert service.execute("SELECT * FROM users ORDER BY id") == accounts
    spicedb.grant(boss.id, 1)
    assert ask(service, operation, boss, ada.id).status in {200, 201, 204, 409}


@pytest.mark.parametrize(
    "status",
    [
        "FAILED_PRECONDITION",
        *(
            pytest.param(status, marks=pytest.mark.long)
            for status in ("DEADLINE_EXCEEDED", "INTERNAL", "UNAUTHENTICATED")
        ),
    ],
)
def test_every_failure_of_the_policy_store_is_no_refusal(service: Service, faults: Faults, status: str) -> None:
    """Also where Auth tells it as a fault of the request or of the caller: no schema, or another key."""
    boss = administrator(service)
    faults.add("CheckPermission", status, calls=1)
    unavailable(service.call("list_users", token=boss.token, query="limit=1"))
    assert service.call("list_users", token=boss.token, query="limit=1").status == 200


def test_a_login_while_the_policy_store_is_away(service: Service, faults: Faults) -> None:
    """Auth's Issue fails in the same way for a relation that is missing, which the login then writes."""
    ada = person(service)
    faults.add("CheckPermission", "UNAVAILABLE")
    faults.add(WRITE, "UNAVAILABLE")
    for _ in range(7):  # more than a limit on failed logins would let through
        unavailable(log_in(service, ada.email, ada.secret))
    faults.clear()
    assert log_in(service, ada.email, ada.secret).status == 201


def test_without_a_policy_store_grpc_is_not_imported(service: Service, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from users.peers import spicedb\n"
        "from users.steps import granting\n"
        "spicedb.grant('a', 1)\n"
        "granting.grant_or_repair('a', 1)\n"
        "spicedb.revoke_everything('a')\n"
        "print([name for name in ('grpc', 'authzed', 'google.protobuf') if name in sys.modules])"
    )
    environment = {**os.environ, **service.environment, "MG_SPICEDB_HOST": "", "MG_JAEGER_URL": ""}
    environment["PYTHONPATH"] = str(ROOT / "layers/common/python")
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
