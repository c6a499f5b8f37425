"""UsersService, as other services call it: a real process and a real client (contract §5.7, §8.6)."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
import trustme
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.json_format import MessageToDict
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from background.users_service.certificates import server_credentials
from background.users_service.proto.users_pb2 import RetrieveUsersReq, RetrieveUsersRes
from local.parts.launch import ROOT
from local.parts.postgres import PostgresServer, temporary_postgres
from local.serving.sockets import free_port
from tests.conftest import AS_OWNER, database_variables
from tests.service import eventually
from users.settings import Settings, WrongSettings

METHOD = "/users.v1.UsersService/RetrieveUsers"
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
Status = grpc.StatusCode


class Server:
    """``python -m background.users_service``."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.port = int(variables.get("MG_USERS_GRPC_PORT") or free_port())
        self.log = folder / f"users_service_{self.port}.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MG_")}
        environment |= {"PYTHONPATH": f"{ROOT}/layers/common/python:{ROOT}/layers/background/python"}
        environment |= {"MG_USERS_GRPC_PORT": str(self.port), **variables}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "background.users_service"],
                cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return any(line["message"] == "ready" for line in self.lines())

        eventually(ready)

    def lines(self) -> list[dict[str, Any]]:
        """What it logged; every line is JSON."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(10) == 0, self.log.read_text()

    def refusal(self) -> str:
        """What it said when it would not start."""
        assert self.process.wait(20) == 2, self.log.read_text()
        return self.log.read_text()

    def channel(self, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
        address = f"localhost:{self.port}"
        return grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)


Start = Callable[..., Server]


@pytest.fixture(scope="module")
def database(postgres: PostgresServer, template_database: str) -> tuple[dict[str, str], str]:
    """The variables of a database that this module alone uses, and its connection string."""
    conninfo = postgres.create_database("users_service", template=template_database)
    return database_variables(postgres, "users_service"), conninfo


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    servers: list[Server] = []

    def begin(variables: dict[str, str], *, wait: bool = True) -> Server:
        servers.append(Server(tmp_path, variables))
        if wait:
            servers[-1].wait_ready()
        return servers[-1]

    yield begin
    for server in servers:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def server(database: tuple[dict[str, str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("users_service"), database[0])
    started.wait_ready()
    yield started
    started.stop()


def retrieve(
    channel: grpc.Channel, ids: Sequence[str], offset: int = 0, limit: int = 0, timeout: float = 20
) -> RetrieveUsersRes:
    call = channel.unary_unary(
        METHOD,
        request_serializer=RetrieveUsersReq.SerializeToString,
        response_deserializer=RetrieveUsersRes.FromString,
    )
    answer: RetrieveUsersRes = call(
        RetrieveUsersReq(ids=ids, offset=offset, limit=limit), timeout=timeout, wait_for_ready=True
    )
    return answer


def refusal(channel: grpc.Channel, ids: Sequence[str], **page: Any) -> tuple[Status, str]:
    with pytest.raises(grpc.RpcError) as raised:
        retrieve(channel, ids, **page)
    return raised.value.code(), raised.value.details()


def health(channel: grpc.Channel, service: str) -> Any:
    return HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=10, wait_for_ready=True).status


@pytest.fixture
def people(database: tuple[dict[str, str], str]) -> Callable[..., list[str]]:
    """A maker of accounts; ``columns`` are set in each. Their ids, of the newest first."""

    def make(count: int, **columns: Any) -> list[str]:
        ids = [str(uuid.uuid4()) for _ in range(count)]
        born = datetime(2026, 1, 1, tzinfo=UTC)
        with psycopg.connect(database[1], autocommit=True) as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO users (id, email, username, secret, first_name, last_name, created_at, status, role)"
                " VALUES (%s, %s, %s, 'x', 'Ada', 'Lovelace', %s, 0, 0)",
                [(key, f"{key}@example.com", key[:30], born + timedelta(seconds=n)) for n, key in enumerate(ids)],
            )
            for name, value in columns.items():
                cursor.execute(f"UPDATE users SET {name} = %s WHERE id = ANY(%s)", (value, ids))
        return ids[::-1]

    return make


# --- What is answered


def test_an_account_as_upstream_shows_it(server: Server, people: Callable[..., list[str]]) -> None:
    (ada,) = people(
        1,
        metadata='{"a": [1, {"b": null}], "c": "ü"}',
        private_metadata='{"secret": 1}',
        tags=["x", "y"],
        profile_picture="https://example.com/p.png",
        verified_at=datetime(2026, 1, 2, tzinfo=UTC),
        auth_provider="google",
        updated_at=datetime(2026, 1, 3, 1, 2, 3, 456789, tzinfo=UTC),
        updated_by="somebody",
    )
    with server.channel() as channel:
        answer = retrieve(channel, [ada])
    assert (answer.total, answer.limit, answer.offset) == (1, 1, 0)
    assert MessageToDict(answer.users[0], preserving_proto_field_name=True) == {
        "id": ada,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "tags": ["x", "y"],
        "metadata": {"a": [1, {"b": None}], "c": "ü"},
        "username": ada[:30],
        "email": f"{ada}@example.com",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-03T01:02:03.456789Z",
        "updated_by": "somebody",
    }


def test_the_bytes_are_the_contracts(server: Server, people: Callable[..., list[str]]) -> None:
    """Fields by number, read without the messages of this repository."""
    (ada,) = people(1, role=1)
    with server.channel() as channel:
        raw = channel.unary_unary(METHOD)(b"\x0a\x24" + ada.encode() + b"\x18\x07", timeout=10, wait_for_ready=True)
    user = raw[raw.index(b"\x22") :]
    assert raw.startswith(b"\x08\x01\x10\x07\x22")  # total 1, limit 7, offset left out, users
    assert b"\x0a\x24" + ada.encode() in user
    assert b"\x12\x03Ada\x1a\x08Lovelace" in user
    assert b"\x40\x01" in user  # role
    assert b"\x52\x1e" + ada[:30].encode() in user  # username
    assert b"\x5a\x30" + f"{ada}@example.com".encode() in user


def test_administrators_are_shown_and_nobody_who_is_not_enabled(
    server: Server, people: Callable[..., list[str]]
) -> None:
    user, boss, taken_over = people(1) + people(1, role=1) + people(1, role=None)
    gone = people(2, status=1) + people(2, status=2)
    with server.channel() as channel:
        answer = retrieve(channel, [user, boss, taken_over, *gone, "unknown", ""])
    assert {found.id: found.role for found in answer.users} == {user: 0, boss: 1, taken_over: 0}
    assert (answer.total, answer.limit) == (3, 9)


def test_nobody_found(server: Server) -> None:
    with server.channel() as channel:
        answer = retrieve(channel, [str(uuid.uuid4())], offset=3, limit=5)
    assert answer == RetrieveUsersRes(limit=5, offset=3)


def test_the_newest_change_comes_first(server: Server, people: Callable[..., list[str]]) -> None:
    ids = people(3)
    (changed,) = people(1, updated_at=datetime(2027, 1, 1, tzinfo=UTC))
    same = people(3, created_at=datetime(2025, 1, 1, tzinfo=UTC))
    with server.channel() as channel:
        answer = retrieve(channel, [*same, *ids, changed])
    assert [user.id for user in answer.users] == [changed, *ids, *sorted(same, reverse=True)]


def test_pages_hold_everybody_once(server: Server, people: Callable[..., list[str]]) -> None:
    ids = people(25, created_at=datetime(2025, 1, 1, tzinfo=UTC))
    with server.channel() as channel:
        pages = [retrieve(channel, ids * 2, offset=offset, limit=10) for offset in range(0, 40, 10)]
    assert [len(page.users) for page in pages] == [10, 10, 5, 0]
    assert {(page.total, page.limit) for page in pages} == {(25, 10)}
    assert [user.id for page in pages for user in page.users] == sorted(ids, reverse=True)


def test_limits_and_offsets_of_any_size(server: Server, people: Callable[..., list[str]]) -> None:
    ids = people(2)
    largest = 2**64 - 1
    with server.channel() as channel:
        assert len(retrieve(channel, ids, limit=largest).users) == 2
        beyond = retrieve(channel, ids, offset=largest, limit=largest)
    assert (beyond.total, beyond.offset, beyond.limit, len(beyond.users)) == (2, largest, largest, 0)


def test_empty_metadata_is_an_empty_struct(server: Server, people: Callable[..., list[str]]) -> None:
    """On the wire the field is there, with nothing in it."""
    (ada,) = people(1, metadata="{}")
    with server.channel() as channel:
        assert retrieve(channel, [ada]).users[0].HasField("metadata")
        raw = channel.unary_unary(METHOD)(b"\x0a\x24" + ada.encode(), timeout=10, wait_for_ready=True)
    assert b"\x2a\x00" in raw


def test_metadata_that_no_struct_holds_hides_nobody(server: Server, people: Callable[..., list[str]]) -> None:
    good, bad = people(1, metadata='{"a": 1}') + people(1, metadata='{"b": 1' + "0" * 400 + "}")
    with server.channel() as channel:
        found = {user.id: user for user in retrieve(channel, [good, bad]).users}
    assert found[good].HasField("metadata")
    assert not found[bad].HasField("metadata")


# --- What is refused


def test_no_ids(server: Server) -> None:
    with server.channel() as channel:
        assert refusal(channel, []) == (Status.INVALID_ARGUMENT, "missing user id")
        assert refusal(channel, [], limit=5) == (Status.INVALID_ARGUMENT, "missing user id")


def test_what_no_column_holds(server: Server) -> None:
    with server.channel() as channel:
        assert refusal(channel, ["a\0b"]) == (Status.INVALID_ARGUMENT, "malformed entity specification")


def test_bytes_that_are_no_message(server: Server) -> None:
    with server.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(METHOD)(b"\xff\xff\xff", timeout=10, wait_for_ready=True)
    assert raised.value.code() is Status.INTERNAL


@pytest.mark.long
def test_a_hundred_thousand_ids(server: Server, people: Callable[..., list[str]]) -> None:
    ids = people(50)
    strangers = [str(uuid.uuid4()) for _ in range(100_000)]
    with server.channel() as channel:
        answer = retrieve(channel, strangers + ids)
        assert (answer.total, len(answer.users), answer.limit) == (50, 50, 100_050)
        assert refusal(channel, strangers * 2)[0] is Status.RESOURCE_EXHAUSTED
        assert retrieve(channel, ids).total == 50


def test_more_than_one_answer_holds(server: Server, people: Callable[..., list[str]]) -> None:
    ids = people(40, metadata=json.dumps({"a": "x" * 1_000_000}))
    with server.channel() as channel:
        status, text = refusal(channel, ids)
        assert status is Status.RESOURCE_EXHAUSTED
        assert "limit" in text
        page = retrieve(channel, ids, limit=3)
    assert (page.total, len(page.users)) == (40, 3)


def test_the_log_names_nobody(server: Server, people: Callable[..., list[str]]) -> None:
    (ada,) = people(1)
    with server.channel() as channel:
        retrieve(channel, [ada])
    call = eventually(lambda: [line for line in server.lines() if line["message"] == "call"])[-1]
    assert call["status"] == "OK"
    assert ada not in server.log.read_text()


def test_eight_clients_at_once(server: Server, people: Callable[..., list[str]]) -> None:
    ids = people(20)

    def client(_number: int) -> int:
        with server.channel() as channel:
            return sum(len(retrieve(channel, ids).users) for _ in range(25))

    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(client, range(8))) == [500] * 8


# --- Health and reflection


def test_health(server: Server) -> None:
    with server.channel() as channel:
        assert health(channel, "users") == SERVING
        assert health(channel, "") == SERVING
        with pytest.raises(grpc.RpcError) as raised:
            health(channel, "other")
        assert raised.value.code() is Status.NOT_FOUND


def test_reflection_describes_the_service(server: Server) -> None:
    asked = [
        ServerReflectionRequest(list_services=""),
        ServerReflectionRequest(file_containing_symbol="users.v1.UsersService"),
    ]
    with server.channel() as channel:
        stub = ServerReflectionStub(channel)
        listed, described = stub.ServerReflectionInfo(iter(asked), timeout=10, wait_for_ready=True)
    names = {service.name for service in listed.list_services_response.service}
    assert names == {
        "users.v1.UsersService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    files = [FileDescriptorProto.FromString(file) for file in described.file_descriptor_response.file_descriptor_proto]
    (own,) = [file for file in files if file.package == "users.v1"]
    (user,) = [message for message in own.message_type if message.name == "User"]
    names_by_number = [field.name for field in sorted(user.field, key=lambda field: field.number)]
    assert " ".join(names_by_number) == (
        "id first_name last_name tags metadata private_metadata status role profile_picture username email"
        " created_at updated_at updated_by verified_at auth_provider permissions"
    )


def test_idle_streams_hold_nobody_up(server: Server, people: Callable[..., list[str]]) -> None:
    ids = people(1)
    with server.channel() as channel:
        watches = [HealthStub(channel).Watch(HealthCheckRequest(service="users"), timeout=30) for _ in range(50)]
        assert [next(watch).status for watch in watches] == [SERVING] * 50
        assert retrieve(channel, ids, timeout=5).total == 1
        for watch in watches:
            watch.cancel()


# --- The database


@pytest.mark.long
def test_a_database_that_is_away(template_database: str, start: Start) -> None:
    with temporary_postgres() as own:
        own.create_database("users")
        server = start(database_variables(own, "users") | AS_OWNER)
        with server.channel() as channel:
            # no table yet
            assert refusal(channel, ["a"])[0] is Status.UNAVAILABLE
            own.stop()
            assert refusal(channel, ["a"]) == (
                Status.UNAVAILABLE,
                "service temporarily unavailable, please retry",
            )
            assert health(channel, "users") == NOT_SERVING
            assert health(channel, "") == SERVING
            own.start()
            own.wait_ready()
            with psycopg.connect(own.conninfo_for("users", "postgres"), autocommit=True) as connection:
                connection.execute(
                    "CREATE TABLE users (id text, first_name text, last_name text, tags text[], metadata jsonb,"
                    " status int, role int, username text, email text, created_at timestamptz,"
                    " updated_at timestamptz, updated_by text)"
                )
            assert retrieve(channel, ["a"]).total == 0
            assert health(channel, "users") == SERVING


# --- The end


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_signal_ends_it(database: tuple[dict[str, str], str], start: Start, number: signal.Signals) -> None:
    server = start(database[0])
    server.process.send_signal(number)
    assert server.process.wait(5) == 0
    assert [line["message"] for line in server.lines()] == ["ready", "stopping"]


def test_a_call_in_flight_is_answered_and_the_end_waits_for_no_lock(
    database: tuple[dict[str, str], str], start: Start
) -> None:
    server = start(database[0])
    with server.channel() as channel, ThreadPoolExecutor(1) as client, psycopg.connect(database[1]) as lock:
        retrieve(channel, ["a"])
        lock.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        waiting = client.submit(retrieve, channel, ["a"])
        eventually(lambda: lock.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (1,))
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.lines()[-1]["message"] == "stopping")
        lock.rollback()
        assert waiting.result(10) == RetrieveUsersRes(limit=1)
    assert server.process.wait(5) == 0


@pytest.mark.long
def test_a_database_that_does_not_answer_delays_no_end(database: tuple[dict[str, str], str], start: Start) -> None:
    server = start(database[0])
    with server.channel() as channel, ThreadPoolExecutor(1) as client, psycopg.connect(database[1]) as lock:
        lock.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        waiting = client.submit(refusal, channel, ["a"])
        eventually(lambda: lock.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (1,))
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5) == 0
        assert time.monotonic() - began < 5
        assert waiting.result(10)[0] in {Status.CANCELLED, Status.UNAVAILABLE}


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def pem(certificate: trustme.LeafCert) -> tuple[str, str]:
    """Certificate and key, inline."""
    return certificate.cert_chain_pems[0].bytes().decode(), certificate.private_key_pem.bytes().decode()


def client_credentials(authority: trustme.CA, own: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
    certificate, key = map(str.encode, pem(own)) if own else (None, None)
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes(), key, certificate)


@pytest.mark.long
def test_tls_by_inline_pem(database: tuple[dict[str, str], str], start: Start, authority: trustme.CA) -> None:
    certificate, key = pem(authority.issue_cert("localhost"))
    server = start(database[0] | {"MG_USERS_GRPC_SERVER_CERT": certificate, "MG_USERS_GRPC_SERVER_KEY": key})
    with server.channel(client_credentials(authority)) as channel:
        assert retrieve(channel, ["a"]).total == 0
    with server.channel() as channel:
        call = channel.unary_unary(METHOD)
        with pytest.raises(grpc.RpcError):
            call(b"\x0a\x01a", timeout=5)


@pytest.mark.parametrize("variable", [pytest.param("SERVER_CA_CERTS", marks=pytest.mark.long), "CLIENT_CA_CERTS"])
def test_an_authority_makes_it_mutual(
    database: tuple[dict[str, str], str], start: Start, authority: trustme.CA, tmp_path: Path, variable: str
) -> None:
    """By paths."""
    certificate, key = pem(authority.issue_cert("localhost"))
    for name, text in (("cert", certificate), ("key", key), ("ca", authority.cert_pem.bytes().decode())):
        (tmp_path / name).write_text(text)
    variables = {
        "MG_USERS_GRPC_SERVER_CERT": str(tmp_path / "cert"),
        "MG_USERS_GRPC_SERVER_KEY": str(tmp_path / "key"),
        f"MG_USERS_GRPC_{variable}": str(tmp_path / "ca"),
    }
    server = start(database[0] | variables)
    with server.channel(client_credentials(authority, authority.issue_cert("client"))) as channel:
        assert retrieve(channel, ["a"]).total == 0
    for own in (None, trustme.CA().issue_cert("client")):
        with server.channel(client_credentials(authority, own)) as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary(METHOD)(b"\x0a\x01a", timeout=5)


def test_of_two_authorities_the_clients_decides(
    database: tuple[dict[str, str], str], start: Start, authority: trustme.CA
) -> None:
    certificate, key = pem(authority.issue_cert("localhost"))
    of_clients = trustme.CA()
    variables = {
        "MG_USERS_GRPC_SERVER_CERT": certificate,
        "MG_USERS_GRPC_SERVER_KEY": key,
        "MG_USERS_GRPC_SERVER_CA_CERTS": authority.cert_pem.bytes().decode(),
        "MG_USERS_GRPC_CLIENT_CA_CERTS": of_clients.cert_pem.bytes().decode(),
    }
    server = start(database[0] | variables)
    with server.channel(client_credentials(authority, of_clients.issue_cert("client"))) as channel:
        assert retrieve(channel, ["a"]).total == 0
    foreign = client_credentials(authority, authority.issue_cert("client"))
    with server.channel(foreign) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(METHOD)(b"\x0a\x01a", timeout=5)


# --- What keeps it from starting


def test_certificates_that_are_none(authority: trustme.CA, tmp_path: Path) -> None:
    certificate, key = pem(authority.issue_cert("localhost"))
    _, foreign_key = pem(authority.issue_cert("localhost"))
    noise = tmp_path / "noise"
    noise.write_text("no certificate")
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    whole = {"SERVER_CERT": certificate, "SERVER_KEY": key}
    cases = [
        ({"SERVER_CERT": certificate}, "MG_USERS_GRPC_SERVER_KEY"),
        ({"CLIENT_CA_CERTS": certificate}, "TLS needs both"),
        (whole | {"SERVER_CERT": "/nowhere/cert.pem"}, "MG_USERS_GRPC_SERVER_CERT: /nowhere/cert.pem cannot be read"),
        (whole | {"SERVER_KEY": str(noise)}, "is not a PEM file"),
        (whole | {"SERVER_KEY": foreign_key}, "no certificate and its key: KEY_VALUES_MISMATCH"),
        (whole | {"SERVER_CERT": broken}, "no certificate and its key"),
        (whole | {"SERVER_CA_CERTS": broken}, "MG_USERS_GRPC_SERVER_CA_CERTS holds no certificate"),
    ]
    for variables, text in cases:
        environment = {f"MG_USERS_GRPC_{name}": value for name, value in variables.items()}
        with pytest.raises(WrongSettings, match=re.escape(text)) as refused:
            server_credentials(Settings(environment))
        assert "PRIVATE KEY" not in str(refused.value)


def test_a_certificate_that_is_none_ends_the_process(database: tuple[dict[str, str], str], start: Start) -> None:
    server = start(database[0] | {"MG_USERS_GRPC_SERVER_CERT": "/nowhere/cert.pem"}, wait=False)
    assert "MG_USERS_GRPC_SERVER_CERT: /nowhere/cert.pem cannot be read" in server.refusal()


def test_a_port_that_is_taken(database: tuple[dict[str, str], str], start: Start) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = {"MG_USERS_GRPC_PORT": str(other.getsockname()[1])}
        assert "MG_USERS_GRPC_PORT: cannot listen on localhost" in start(database[0] | taken, wait=False).refusal()


@pytest.mark.long
def test_a_host_that_is_none(database: tuple[dict[str, str], str], start: Start) -> None:
    server = start(database[0] | {"MG_USERS_GRPC_HOST": "nowhere.invalid"}, wait=False)
    assert "MG_USERS_GRPC_HOST: nowhere.invalid cannot be resolved" in server.refusal()


def test_it_serves_what_make_run_runs(database: tuple[dict[str, str], str], start: Start, tmp_path: Path) -> None:
    """With no variable set: from the file that `make run` keeps."""
    nothing = start({"MG_LOCAL_DIR": str(tmp_path / "nothing")}, wait=False)
    assert "or start `make run`." in nothing.refusal()
    assert "--" not in nothing.refusal(), "it takes no options"
    from local.environment_file import ENVIRONMENT_FILE, write_environment

    write_environment(tmp_path / ENVIRONMENT_FILE, database[0])
    server = start({"MG_LOCAL_DIR": str(tmp_path)})
    with server.channel() as channel:
        assert retrieve(channel, ["a"]).total == 0
