"""S38: the sweep removes exactly the due rows, ends, runs twice at once, survives a kill, leaves no personal value."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from background.mail.suppressions import suppress
from tests.people import Person, administrator, log_in, logged_in, mail_token, person
from tests.service import PASSWORD, ROOT, Service, eventually, registration
from users.peers.proto.domains_pb2 import DeleteUserReq, DeleteUserRes

_RUN = """
import json, sys
from background.removal.sweep import sweep
print(json.dumps(sweep(lambda: True)), file=sys.stderr)
"""
_SEED = """
    INSERT INTO users (id, email, username, first_name, last_name, status, deleted_at, disabled_at, role)
    SELECT md5(n::text), n || '@example.com', 'u' || n, 'Ada', 'Lovelace', status,
        CASE WHEN status = 2 THEN ended END, CASE WHEN status = 1 THEN ended END, mod(n, 2)
    FROM (
        SELECT n, 1 + mod(n, 2) AS status, now() - interval '31 days' + mod(n, 7) * interval '1 hour' AS ended
        FROM generate_series(1, {due}) n
        UNION ALL SELECT n, 1 + mod(n, 2), now() - interval '30 days' + interval '1 minute'
        FROM generate_series({due} + 1, {due} + 50) n
        UNION ALL SELECT n, 0, NULL FROM generate_series({due} + 51, {due} + 100) n
    ) accounts"""


def seed(service: Service, due: int) -> set[str]:
    """Insert this many due accounts, 50 accounts that are not due, and 50 enabled ones.

    Return the ids of accounts that stay.
    """
    service.execute(_SEED.format(due=due))
    return {hashlib.md5(str(n).encode()).hexdigest() for n in range(due + 1, due + 101)}


def there(service: Service) -> set[str]:
    return {row["id"] for row in service.execute("SELECT id FROM users")}


def events(service: Service) -> Counter[str]:
    """Return how often an event reports the removal of each account."""
    return Counter(
        row["user_id"] for row in service.execute("SELECT user_id FROM users_outbox WHERE name = 'user.purge'")
    )


def start(service: Service, log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Start a run in a new process."""
    layers = [ROOT / "layers/common/python", ROOT / "layers/background/python"]
    environment = os.environ | service.environment | variables | {"PYTHONPATH": os.pathsep.join(map(str, layers))}
    with log.open("wb") as errors:
        return subprocess.Popen([sys.executable, "-c", _RUN], env=environment, stderr=errors, stdout=subprocess.DEVNULL)


def counted(run: subprocess.Popen[bytes], log: Path) -> dict[str, int]:
    assert run.wait(60) == 0, log.read_text()
    counts: dict[str, int] = json.loads(log.read_text().splitlines()[-1])
    return counts


class Domains:
    """Counts the calls for each account, and answers only after ``runs`` processes have asked."""

    def __init__(self, runs: int = 1) -> None:
        self.asked: Counter[str] = Counter()
        self._runs: set[str] = set()
        self._wanted = runs
        self._lock = threading.Lock()
        self._all_there = threading.Event()

    def answer(self, request: DeleteUserReq, context: grpc.ServicerContext) -> DeleteUserRes:
        with self._lock:
            self.asked[request.id] += 1
            self._runs.add(context.peer())
            if len(self._runs) == self._wanted:
                self._all_there.set()
        return DeleteUserRes(deleted=self._all_there.wait(20))

    @contextmanager
    def serving(self) -> Iterator[str]:
        method = grpc.unary_unary_rpc_method_handler(
            self.answer,
            request_deserializer=DeleteUserReq.FromString,
            response_serializer=DeleteUserRes.SerializeToString,
        )
        server = grpc.server(futures.ThreadPoolExecutor(32))
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("domains.v1.DomainsService", {"DeleteUserFromDomains": method})]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(0).wait()


@pytest.mark.parametrize("due", [1, pytest.param(10_000, marks=pytest.mark.long)])
def test_s38_exactly_the_due_rows(own_service: Service, tmp_path: Path, due: int) -> None:
    stay = seed(own_service, due)
    counts = counted(start(own_service, tmp_path / "log", MG_SPICEDB_HOST=""), tmp_path / "log")
    assert counts == {"swept": due, "failed": 0, "warned": 50, "reminded": 0, "forgotten": 0, "left": 0}
    assert there(own_service) == stay
    assert len(events(own_service)) == events(own_service).total() == due
    assert not events(own_service).keys() & stay


def test_s38_twice_at_once(own_service: Service, tmp_path: Path) -> None:
    stay, domains = seed(own_service, 750), Domains(runs=2)
    logs = [tmp_path / "1", tmp_path / "2"]
    with domains.serving() as url:
        variables = {"MG_SPICEDB_HOST": "", "MG_DOMAINS_GRPC_URL": url, "MG_DOMAINS_GRPC_TIMEOUT": "20s"}
        runs = [start(own_service, log, **variables) for log in logs]
        counts = [counted(run, log) for run, log in zip(runs, logs, strict=True)]
    assert sum(each["swept"] for each in counts) == 750
    assert sum(each["warned"] for each in counts) == 50
    assert all(each["swept"] > 0 for each in counts)
    assert there(own_service) == stay
    assert len(events(own_service)) == events(own_service).total() == 750
    assert len(domains.asked) == domains.asked.total() == 750


@pytest.mark.long
def test_s38_killed_and_continued(own_service: Service, tmp_path: Path) -> None:
    stay, domains = seed(own_service, 2000), Domains()
    with domains.serving() as url:
        variables = {"MG_SPICEDB_HOST": "", "MG_DOMAINS_GRPC_URL": url}
        for number in range(2):
            begun = domains.asked.total()
            run = start(own_service, tmp_path / "killed", **variables)
            eventually(lambda begun=begun: domains.asked.total() > begun + 100)  # type: ignore[misc]
            run.send_signal(signal.SIGKILL)
            run.wait()
            assert len(there(own_service) - stay) > 0, "the kill came too late or too early"
            assert len(events(own_service)) == 2000 - len(there(own_service) - stay), number
        own_service.execute("UPDATE users SET purging_at = now() - interval '1 day' WHERE purging_at IS NOT NULL")
        counts = counted(start(own_service, tmp_path / "log", **variables), tmp_path / "log")
    assert counts["left"] == counts["failed"] == 0
    assert there(own_service) == stay
    assert len(events(own_service)) == events(own_service).total() == 2000
    assert domains.asked.total() < 2 * 2000


def contents(service: Service) -> dict[str, str]:
    """Return the contents of each column of each table, folded."""
    columns = service.execute(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_type = 'BASE TABLE'"
        " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    selects = (
        f"SELECT '{table}.{column}' AS name, lower(string_agg(t.{column}::text, ' ')) AS text FROM {schema}.{table} t"
        for schema, table, column in (each.values() for each in columns)
    )
    return {each["name"]: each["text"] or "" for each in service.execute(" UNION ALL ".join(selects))}


def holders(service: Service, *values: str) -> dict[str, set[str]]:
    """Return the columns that contain each value, whole or as a part. Values without such a column are left out."""
    held = contents(service)
    found = {value: {name for name, text in held.items() if value.lower() in text} for value in values}
    return {value: names for value, names in found.items() if names}


def everything(service: Service) -> tuple[Person, list[str]]:
    """Return an account with a trace in every possible place, and its personal values."""
    body = registration(last_name="Somerville", metadata={"m": "Jedburgh"}, private_metadata={"p": "Burntisland"})
    email, username = body["email"], body["credentials"]["username"]
    new_email = f"new-{email}"
    log_in(service, new_email, "before there was an account")
    log_in(service, username.upper(), "before there was an account")
    with service.configured(MG_USERS_READ_EVENTS="true"):
        mary = person(service, **body, tags=["astronomy"], profile_picture="https://example.com/mary.png")
        someone, boss = person(service), administrator(service)
        service.call("view_profile", token=mary.token)
        for who in (someone, boss):
            service.call("view_user", token=who.token, user_id=mary.id)
    log_in(service, email, "wrong")
    service.call("update_user", {"first_name": "Fairfax"}, token=mary.token, user_id=mary.id)
    suppress([email.upper()], "complaint", "feedback-1")
    service.call("update_user_email", {"email": new_email}, token=mary.token, user_id=mary.id)
    suppress([new_email], "bounce", "feedback-2")
    service.call("request_password_reset", {"email": new_email.upper()})
    mail_token(service, mary, "verification")
    mail_token(service, mary, "password_reset", email=new_email)
    service.execute(
        "INSERT INTO users_verifications (user_id, email, otp, created_at) VALUES (%s, %s, 'otp-Somerville', now())",
        mary.id, email,
    )  # fmt: skip
    mary = logged_in(service, Person(mary.id, new_email, mary.username, PASSWORD, "", ""))
    log_in(service, new_email, "wrong")
    digests = [hashlib.sha256(name.lower().encode()).hexdigest() for name in (email, new_email, username)]
    (stored,) = service.execute("SELECT secret FROM users WHERE id = %s", mary.id)
    names = ["Somerville", "Jedburgh", "Burntisland", "Fairfax", "astronomy", "mary.png", stored["secret"]]
    return mary, [email, new_email, username, *names, *digests]


@pytest.mark.parametrize("way", ["sweep", "purge"])
def test_s38_no_personal_value_is_left(own_service: Service, tmp_path: Path, way: str) -> None:
    mary, values = everything(own_service)
    found = holders(own_service, mary.id, *values)
    before = set().union(*found.values())
    assert found.keys() >= {mary.id, *values}
    assert before >= {
        "users.email",
        "users_outbox.payload",
        "users_throttle.key",
        "users_one_time_tokens.email",
        "users_verifications.otp",
        "users_known_addresses.user_id",
        "users_login_failures.user_id",
        "users_mail_suppressions.address",
    }
    boss = administrator(own_service)
    query = "purge=true" if way == "purge" else ""
    assert own_service.call("delete_user", token=boss.token, user_id=mary.id, query=query).status == 204
    if way == "sweep":
        own_service.execute("UPDATE users SET deleted_at = now() - interval '31 days' WHERE id = %s", mary.id)
        counts = counted(start(own_service, tmp_path / "log"), tmp_path / "log")
        assert counts["swept"] == 1
    assert holders(own_service, mary.id, *values) == {mary.id: {"users_outbox.user_id", "users_outbox.payload"}}
    left = own_service.execute("SELECT channel, name FROM users_outbox WHERE user_id = %s ORDER BY seq", mary.id)
    names = [each["name"] for each in left if each["channel"] == "event"]
    assert names == ["user.delete", "user.purge"]
    assert {each["channel"] for each in left} == {"event", "revocation"}
