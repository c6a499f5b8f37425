"""Each real part starts, serves, stops, returns with its data, and reports why it cannot start."""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from local.parts import MailServer, NatsServer, PartFailed, PostgresServer, postgres_home, temporary_postgres
from local.parts.launch import ROOT, Account
from local.parts.postgres_remains import end_orphans
from tests.local.processes import eventually, processes_of

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with temporary_postgres() as server:
        yield server


def one(conninfo: str, query: str) -> object:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def test_postgres_is_a_recent_one_with_the_extension(postgres: PostgresServer) -> None:
    conninfo = postgres.create_database("extension")
    assert int(str(one(conninfo, "SHOW server_version_num"))) >= 180000
    assert one(conninfo, "SHOW timezone") == "UTC"
    with psycopg.connect(conninfo) as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
    assert one(conninfo, "SELECT lower('ÄÖ')") == "äö"


def test_postgres_listens_on_no_port_unless_asked(postgres: PostgresServer) -> None:
    assert one(postgres.conninfo, "SHOW listen_addresses") == ""
    assert Path(postgres.host).stat().st_mode & 0o077 == 0


def test_postgres_over_tcp_asks_for_the_password() -> None:
    with temporary_postgres(port=0) as server:
        server.ensure_role("somebody", "right")
        tcp = f"host=127.0.0.1 port={server.port} dbname=postgres user=somebody"
        assert one(f"{tcp} password=right", "SELECT 1") == 1
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(f"{tcp} password=wrong")


def test_a_role_that_there_is_gets_the_new_password() -> None:
    """Databases of earlier releases have a well-known password. It was harmless as long as the server had no port."""
    with temporary_postgres(port=0) as server:
        server.ensure_role("somebody", "well-known")
        server.ensure_role("somebody", "random")
        tcp = f"host=127.0.0.1 port={server.port} dbname=postgres user=somebody"
        assert one(f"{tcp} password=random", "SELECT 1") == 1
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(f"{tcp} password=well-known")


def test_roles_and_databases_are_made_once_and_are_closed_to_others(postgres: PostgresServer) -> None:
    for name in ("first", "second", "first"):
        postgres.ensure_role(name, "x")
        postgres.ensure_database(name, name)
    assert one(postgres.conninfo_for("first", "first"), "SELECT current_user") == "first"
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(postgres.conninfo_for("first", "second"))


def test_a_database_from_a_template(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.create_database("original")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS n")
    assert one(postgres.create_database("copy", template="original"), "SELECT n FROM t") == 42


@pytest.mark.parametrize("end", [PostgresServer.stop, PostgresServer.kill])
def test_postgres_comes_back_with_its_data(open_dir: Path, end: object) -> None:
    with PostgresServer(open_dir / "data") as server:
        with psycopg.connect(server.conninfo) as connection:
            connection.execute("CREATE TABLE t AS SELECT 42 AS n")
        assert callable(end)
        end(server)
        assert not server.running
        server.start()
        server.wait_ready()
        assert one(server.conninfo, "SELECT n FROM t") == 42
    assert processes_of(open_dir) == {}


def test_a_query_that_a_killed_server_left_behind_is_no_obstacle(open_dir: Path) -> None:
    """A process that computes ends only afterwards, and no new server may start beside it."""
    with (
        PostgresServer(open_dir / "data", durable=False) as server,
        psycopg.connect(server.conninfo, autocommit=True) as connection,
        ThreadPoolExecutor(1) as thread,
    ):
        computing = connection.info.backend_pid
        endless = thread.submit(connection.execute, "SELECT count(*) FROM generate_series(1, 1e12)")
        query = f"SELECT state = 'active' FROM pg_stat_activity WHERE pid = {computing}"
        eventually(lambda: one(server.conninfo, query) is True)
        server.kill()
        try:
            assert is_server_process(computing)
            server.start()
            server.wait_ready()
            assert not is_server_process(computing)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(computing, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            endless.result()
        assert one(server.conninfo, "SELECT 1") == 1


def is_server_process(pid: int) -> bool:
    """Return whether it computes. A process that has ended has no command line, even as a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"postgres: ")
    except FileNotFoundError:
        return False


def test_the_server_beside_it_is_left_alone(open_dir: Path) -> None:
    with (
        PostgresServer(open_dir / "data", durable=False) as server,
        PostgresServer(open_dir / "data2", durable=False) as other,
        psycopg.connect(other.conninfo) as connection,
    ):
        end_orphans(server.data_dir)
        end_orphans(other.data_dir)
        server.restart()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_interrupted_initdb_is_begun_anew(open_dir: Path) -> None:
    half = open_dir / "data.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with PostgresServer(open_dir / "data", durable=False) as server:
        assert one(server.conninfo, "SELECT 1") == 1
    assert not half.exists()


def test_lock_files_that_name_another_process_are_no_obstacle(open_dir: Path) -> None:
    with PostgresServer(open_dir / "data", durable=False) as server:
        pid_file = (server.data_dir / "postmaster.pid").read_text()
        server.kill()
        eventually(lambda: processes_of(open_dir) == {})
        other = str(os.getppid())  # a living process that is no PostgreSQL
        (server.data_dir / "postmaster.pid").write_text(pid_file.replace(pid_file.split("\n")[0], other, 1))
        (server.data_dir / f".s.PGSQL.{server.port}.lock").write_text(f"{other}\n")
        server.start()
        server.wait_ready()


def test_a_path_too_long_for_a_socket(open_dir: Path) -> None:
    with PostgresServer(open_dir / ("long-" * 20) / "data", durable=False) as server:
        assert len(server.host) < 90
        assert one(server.conninfo, "SELECT 1") == 1
    Path(server.host).rmdir()


def test_a_broken_cluster_is_explained(open_dir: Path) -> None:
    (open_dir / "data").mkdir()
    server = PostgresServer(open_dir / "data")
    server.start()
    with pytest.raises(PartFailed, match="postgres ended at start") as failure:
        server.wait_ready()
    assert failure.value.log == server.log
    assert "data" in failure.value.log_tail()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another user")
def test_started_by_root_it_runs_as_another_user(postgres: PostgresServer) -> None:
    assert postgres.home.account is not None
    assert Path(f"/proc/{postgres.pid}").stat().st_uid == postgres.home.account.uid != 0
    assert postgres.data_dir.stat().st_uid == postgres.home.account.uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another user")
def test_root_needs_some_unprivileged_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_home, "_UNPRIVILEGED_USERS", ("no-such-user", "nobody"))
    account = postgres_home.server_account()
    assert account is not None
    assert account.name == "nobody"
    monkeypatch.setattr(postgres_home, "_UNPRIVILEGED_USERS", ("no-such-user",))
    with pytest.raises(postgres_home.NoHome, match="no-such-user"):
        postgres_home.server_account()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another user")
def test_below_a_closed_directory_the_system_directory_is_used(open_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = open_dir / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(postgres_home, "SYSTEM_DIRECTORY", open_dir / "system")
    monkeypatch.setattr(postgres_home, "reachable", lambda path, _account: "closed" not in str(path))
    with PostgresServer(closed / "data", durable=False, log=open_dir / "log") as server:
        assert server.relocated
        assert server.data_dir.is_relative_to(open_dir / "system")
        assert one(server.conninfo, "SELECT 1") == 1
    assert list(closed.iterdir()) == []
    assert closed.stat().st_mode & 0o777 == 0o700


def test_what_a_user_can_reach(open_dir: Path) -> None:
    account = Account("somebody", 54321, 54321)
    place = open_dir / "closed" / "below"
    place.mkdir(parents=True)
    place.chmod(0o755)
    for mode, expected in ((0o755, True), (0o711, True), (0o744, False), (0o700, False), (0o770, False)):
        place.parent.chmod(mode)
        assert postgres_home.reachable(place, account) is expected


def test_nats_keeps_its_messages(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "nats") as server:
        assert (
            request(server.port, "$JS.API.STREAM.CREATE.s", '{"name":"s","subjects":["s.*"]}')["config"]["name"] == "s"
        )
        assert request(server.port, "s.x", "hello")["seq"] == 1
        port = server.port
        server.restart()
        assert server.port == port
        server.kill()
        server.start()
        server.wait_ready()
        assert request(server.port, "$JS.API.STREAM.INFO.s", "")["state"]["messages"] == 1
    assert processes_of(tmp_path) == {}


def test_nats_loses_no_message_that_it_acknowledged(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "nats") as server:
        request(server.port, "$JS.API.STREAM.CREATE.s", '{"name":"s","subjects":["s.*"]}')
        acknowledged = 0
        for _ in range(5):
            killed = threading.Timer(0.2, server.kill)
            killed.start()
            with contextlib.suppress(OSError, IndexError):  # the connection ends with the server
                while request(server.port, "s.x", "hello")["seq"]:
                    acknowledged += 1
            killed.join()
            server.start()
            server.wait_ready()
        assert acknowledged > 20
        assert request(server.port, "$JS.API.STREAM.INFO.s", "")["state"]["messages"] >= acknowledged


def request(port: int, subject: str, payload: str) -> dict[str, dict[str, object]]:
    """Send a NATS request in its text protocol and return the answer."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection, connection.makefile("rb") as lines:
        lines.readline()
        publish = f"PUB {subject} _INBOX.t {len(payload)}\r\n{payload}\r\n"
        connection.sendall(f'CONNECT {{"verbose":false}}\r\nSUB _INBOX.t 1\r\n{publish}'.encode())
        answer: dict[str, dict[str, object]] = json.loads(lines.read(int(lines.readline().split()[-1])))
        return answer


def test_a_taken_port_fails_with_the_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = NatsServer(tmp_path / "nats", other.getsockname()[1])
        server.start()
        with pytest.raises(PartFailed, match="nats") as failure:
            server.wait_ready()
        server.stop()
    assert "address already in use" in failure.value.log_tail()


def test_mail_is_shown_on_the_page(tmp_path: Path) -> None:
    with MailServer(log=tmp_path / "mail.log") as server:
        with urllib.request.urlopen(f"{server.url}/store", timeout=5) as answer:
            assert json.load(answer)["emails"] == []
        with urllib.request.urlopen(server.url, timeout=5) as answer:
            assert "text/html" in answer.headers["Content-Type"]
        port = server.port
        server.restart()
        assert server.port == port


def send_mails(server: MailServer, *subjects: str, text: str = "text") -> None:
    """Send mails as the SES client does. Each must be accepted."""
    for subject in subjects:
        mail = {
            "FromEmailAddress": "users@example.com",
            "Destination": {"ToAddresses": ["ada@example.com"]},
            "Content": {"Simple": {"Subject": {"Data": subject}, "Body": {"Text": {"Data": text}}}},
        }
        headers = {"Content-Type": "application/json", "Authorization": "AWS4-HMAC-SHA256 Credential=local"}
        url = f"{server.url}/v2/email/outbound-emails"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(mail).encode(), headers), timeout=30) as got:
            assert got.status == 200


def subjects(server: MailServer) -> list[str]:
    with urllib.request.urlopen(f"{server.url}/store", timeout=30) as answer:
        return [mail["subject"] for mail in json.load(answer)["emails"]]


def test_mails_survive_a_kill_and_are_private(tmp_path: Path) -> None:
    place = tmp_path / "mails"
    with MailServer(log=tmp_path / "mail.log", store_dir=place) as server:
        send_mails(server, "first", "zweite ä")
        server.kill()
        server.start()
        server.wait_ready()
        assert subjects(server) == ["first", "zweite ä"]
        send_mails(server, "third")
    file = place / "mails.ndjson"
    assert (place.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    with file.open("a") as torn:
        torn.write('{"messageId": "half of')
    with MailServer(log=tmp_path / "mail.log", store_dir=place) as server:
        assert subjects(server) == ["first", "zweite ä", "third"]
        send_mails(server, "fourth")
        server.restart()
        assert subjects(server) == ["first", "zweite ä", "third", "fourth"]
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/clear-store", b""), timeout=5).close()
        server.restart()
        assert subjects(server) == []


def test_the_newest_mails_are_kept_and_the_file_stays_small(tmp_path: Path) -> None:
    file = tmp_path / "mails.ndjson"
    kept = {"messageId": "m", "at": 1, "destination": {"to": []}}
    file.write_text("".join(json.dumps({**kept, "subject": str(number)}) + "\n" for number in range(2010)))
    with MailServer(log=tmp_path / "mail.log", store_dir=tmp_path) as server:
        assert subjects(server) == [*map(str, range(10, 2010))]
        send_mails(server, "newest", "newer")
        assert subjects(server) == [*map(str, range(12, 2010)), "newest", "newer"]
        large = [f"large {number}" for number in range(8)]
        send_mails(server, *large, text="x" * (20 << 20))
        assert subjects(server) == large[-3:]
        assert file.stat().st_size < (148 << 20)
        server.restart()
        assert subjects(server) == large[-3:]
        assert file.stat().st_size < (64 << 20)


def test_a_mail_that_cannot_be_kept_is_not_accepted(tmp_path: Path) -> None:
    with MailServer(log=tmp_path / "mail.log", store_dir=tmp_path) as server:
        send_mails(server, "first")
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))  # as on a full disk
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            send_mails(server, "second", text="x" * 2000)
        eventually(lambda: not server.running)
        assert "a mail cannot be kept" in server.log.read_text()
        server.start()
        server.wait_ready()
        assert subjects(server) == ["first"]


def test_a_part_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from local.parts import NatsServer\n"
        f"with NatsServer(Path({str(tmp_path / 'nats')!r})): print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        assert any("nats-server" in command for command in processes_of(tmp_path).values())
        starter.send_signal(signal.SIGKILL)
    eventually(lambda: processes_of(tmp_path) == {})
