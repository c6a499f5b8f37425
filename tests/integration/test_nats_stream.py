"""Events for NATS: ways to connect, unexpected streams, and refusals."""

import asyncio
import io
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import pytest
import trustme
from nats.js import JetStreamContext

from background.delivery import kept_channel, nats_stream
from background.delivery.nats_stream import NatsChannel
from background.delivery.ports import DestinationUnavailable, Row
from local.parts.launch import ROOT
from local.parts.nats import NatsServer
from local.serving.sockets import free_port
from tests.deliveries import events
from tests.service import Service, eventually
from users import snapstart


def row(**payload: Any) -> Row:
    return Row(
        seq=1, id=str(uuid.uuid4()), user_id=None, channel="event", name="user.test", payload=payload, attempts=1
    )


def put(service: Service, user_id: str, **payload: Any) -> None:
    service.execute(
        "INSERT INTO users_outbox (id, user_id, channel, name, payload)"
        " VALUES (gen_random_uuid(), %s, 'event', 'user.test', %s)",
        *(user_id, json.dumps(payload)),
    )


def with_stream(url: str, use: Callable[[JetStreamContext], Coroutine[Any, Any, Any]]) -> None:
    async def run() -> None:
        client = await nats.connect(url)
        try:
            await use(client.jetstream())
        finally:
            await client.close()

    asyncio.run(run())


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "nats") as server:
        yield server


@contextmanager
def configured_nats(folder: Path, configuration: str) -> Iterator[int]:
    """Run a NATS server with more configuration. Yield its port."""
    port = free_port()
    file = folder / "nats.conf"
    file.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/js" }}\n{configuration}\n')
    program = Path(sys.executable).with_name("nats-server")
    log = folder / "nats.log"
    log.touch()
    server = subprocess.Popen([program, "-c", file, "-l", log])
    try:
        eventually(lambda: "Server is ready" in log.read_text())
        yield port
    finally:
        server.terminate()
        server.wait()


# --- ways to connect


@pytest.mark.parametrize(
    ("configuration", "userinfo", "wrong"),
    [
        ('authorization { user: ada, password: "p@ss/word" }', "ada:p%40ss%2Fword@", "ada:wrong@"),
        ("authorization { token: s3cret }", "s3cret@", "wrong@"),
    ],
)
def test_credentials_in_the_url(tmp_path: Path, configuration: str, userinfo: str, wrong: str) -> None:
    with configured_nats(tmp_path, configuration) as port:
        with closing(NatsChannel(f"nats://{userinfo}127.0.0.1:{port}")) as channel:
            assert [outcome.refusal for outcome in channel.deliver([row(id="a")])] == [""]
        with (
            closing(NatsChannel(f"nats://{wrong}127.0.0.1:{port}")) as channel,
            pytest.raises(DestinationUnavailable, match=r"(?i)authorization") as raised,
        ):
            list(channel.deliver([row()]))
        assert "wrong" not in str(raised.value)


def test_tls_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = f'tls {{ cert_file: "{tmp_path}/cert.pem", key_file: "{tmp_path}/key.pem" }}'
    with configured_nats(tmp_path, tls) as port:
        began = time.monotonic()
        with closing(NatsChannel(f"tls://localhost:{port}")) as channel, pytest.raises(DestinationUnavailable):
            list(channel.deliver([row()]))
        assert time.monotonic() - began < 2.5, "the rest of the connection is not awaited"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert ssl.create_default_context().get_ca_certs()
        with closing(NatsChannel(f"tls://localhost:{port}")) as channel:
            assert [outcome.refusal for outcome in channel.deliver([row(id="a")])] == [""]


def test_of_several_servers_one_is_enough(own_nats: NatsServer) -> None:
    with closing(NatsChannel(f"nats://127.0.0.1:{free_port()},{own_nats.url}")) as channel:
        assert [outcome.refusal for outcome in channel.deliver([row(id="a")])] == [""]


def test_one_connection_for_a_run(own_nats: NatsServer) -> None:
    with closing(NatsChannel(own_nats.url)) as channel:
        clients = set()
        for _ in range(3):
            list(channel.deliver([row()]))
            assert channel._client is not None
            clients.add(channel._client.client_id)
        assert len(clients) == 1
        assert len(events(own_nats.url)) == 3


# --- streams


def test_a_stream_that_was_deleted_meanwhile_is_made_again(own_nats: NatsServer) -> None:
    with closing(NatsChannel(own_nats.url)) as channel:
        list(channel.deliver([row(number=1)]))
        with_stream(own_nats.url, lambda stream: stream.delete_stream("events"))
        assert [outcome.refusal for outcome in channel.deliver([row(number=2)])] == [""]
    assert [event.payload["number"] for event in events(own_nats.url)] == [2]


# The request of upstream's services (pkg/events/nats/subscriber.go:22-35), as nats.go writes its
# jetstream.StreamConfig.
UPSTREAMS_STREAM = {
    "name": "events",
    "description": "Magistrala stream for sending and receiving messages in between Magistrala events",
    "subjects": ["events.>"],
    "retention": "limits",
    "max_consumers": 0,
    "max_msgs": 0,
    "max_bytes": 0,
    "discard": "old",
    "max_age": 24 * 3600 * 10**9,
    "max_msgs_per_subject": 10**9,
    "max_msg_size": 1024 * 1024,
    "storage": "file",
    "num_replicas": 0,
    "compression": "none",
    "allow_direct": False,
    "mirror_direct": False,
}
# The stream that the first release of this service made.
FIRST_STREAM = {"name": "events", "subjects": ["events.>"], "max_age": 24 * 3600, "max_msg_size": 1024 * 1024}


def ask_jetstream(url: str, request: str, body: Any = None) -> dict[str, Any]:
    """Return the answer of JetStream's API."""

    async def run() -> dict[str, Any]:
        client = await nats.connect(url)
        try:
            answer = await client.request(f"$JS.API.STREAM.{request}", json.dumps(body).encode() if body else b"")
            found: dict[str, Any] = json.loads(answer.data)
            return found
        finally:
            await client.close()

    return asyncio.run(run())


def publish(url: str) -> None:
    with closing(NatsChannel(url)) as channel:
        assert [outcome.refusal for outcome in channel.deliver([row()])] == [""]


def test_upstreams_services_find_the_stream_that_they_would_make(own_nats: NatsServer) -> None:
    publish(own_nats.url)
    answer = ask_jetstream(own_nats.url, "CREATE.events", UPSTREAMS_STREAM)
    assert "error" not in answer, answer
    assert answer["config"]["description"] == UPSTREAMS_STREAM["description"]
    assert len(events(own_nats.url)) == 1


def test_a_stream_that_upstreams_services_made_is_used_as_it_is(own_nats: NatsServer) -> None:
    made = ask_jetstream(own_nats.url, "CREATE.events", UPSTREAMS_STREAM)["config"]
    publish(own_nats.url)
    assert ask_jetstream(own_nats.url, "INFO.events")["config"] == made
    with_stream(own_nats.url, lambda stream: stream.delete_stream("events"))
    publish(own_nats.url)
    assert ask_jetstream(own_nats.url, "INFO.events")["config"] == made, "equal to the last field"


def test_a_stream_of_the_first_release_becomes_upstreams(own_nats: NatsServer) -> None:
    with_stream(own_nats.url, lambda stream: stream.add_stream(**FIRST_STREAM))
    assert ask_jetstream(own_nats.url, "CREATE.events", UPSTREAMS_STREAM)["error"]["err_code"] == 10058
    publish(own_nats.url)
    answer = ask_jetstream(own_nats.url, "CREATE.events", UPSTREAMS_STREAM)
    assert "error" not in answer, answer
    assert len(events(own_nats.url)) == 1, "the stream keeps its events"


@pytest.mark.parametrize(
    "changes", [{"description": "ours"}, {"max_age": 3600}, {"max_msgs_per_subject": 5}, {"subjects": ["events.*.>"]}]
)
def test_a_stream_of_an_operator_stays_as_it_is(own_nats: NatsServer, changes: dict[str, Any]) -> None:
    with_stream(own_nats.url, lambda stream: stream.add_stream(**(FIRST_STREAM | changes)))
    before = ask_jetstream(own_nats.url, "INFO.events")["config"]
    publish(own_nats.url)
    assert ask_jetstream(own_nats.url, "INFO.events")["config"] == before


def test_what_an_operator_added_to_a_stream_of_the_first_release_is_kept(own_nats: NatsServer) -> None:
    added = {"max_bytes": 10**6, "deny_delete": True, "metadata": {"team": "users"}}
    with_stream(own_nats.url, lambda stream: stream.add_stream(**FIRST_STREAM, **added))
    before = ask_jetstream(own_nats.url, "INFO.events")["config"]
    publish(own_nats.url)
    wanted = {name: UPSTREAMS_STREAM[name] for name in ("description", "max_msgs_per_subject")}
    assert ask_jetstream(own_nats.url, "INFO.events")["config"] == before | wanted


@pytest.mark.parametrize("denied", ["INFO", "UPDATE"])
def test_who_may_not_change_streams_delivers_and_says_it_once(
    tmp_path: Path, log_output: io.StringIO, denied: str
) -> None:
    users = (
        "authorization { users: [ { user: boss, password: b }, { user: a, password: b,"
        f' permissions: {{ publish: {{ deny: "$JS.API.STREAM.{denied}.events" }} }} }} ] }}'
    )
    with configured_nats(tmp_path, users) as port:
        with_stream(f"nats://boss:b@127.0.0.1:{port}", lambda stream: stream.add_stream(**FIRST_STREAM))
        for _ in range(3):
            publish(f"nats://a:b@127.0.0.1:{port}")
        assert len(events(f"nats://boss:b@127.0.0.1:{port}")) == 3
    lines = [line for line in log_output.getvalue().splitlines() if "stream is left as it is" in line]
    assert len(lines) == 1
    assert "ermissions" in lines[0], "with the reason"


def test_a_stream_of_another_name_that_takes_the_subjects_is_enough(own_nats: NatsServer) -> None:
    with_stream(own_nats.url, lambda stream: stream.add_stream(name="all", subjects=["events.magistrala.>"]))
    with closing(NatsChannel(own_nats.url)) as channel:
        assert [outcome.refusal for outcome in channel.deliver([row()])] == [""]


def test_a_stream_that_does_not_take_the_subjects_is_left_alone_and_told(own_nats: NatsServer) -> None:
    with_stream(own_nats.url, lambda stream: stream.add_stream(name="events", subjects=["other.>"]))
    with (
        closing(NatsChannel(own_nats.url)) as channel,
        pytest.raises(DestinationUnavailable, match="no response from stream"),
    ):
        list(channel.deliver([row()]))


@pytest.mark.parametrize("limit", ["max_bytes", "max_msgs"])
def test_a_stream_that_is_full_keeps_what_it_took_and_costs_no_attempt(
    emptied_service: Service, own_nats: NatsServer, limit: str
) -> None:
    limits = {"max_bytes": 2000} if limit == "max_bytes" else {"max_msgs": 3}
    with_stream(
        own_nats.url,
        lambda stream: stream.add_stream(name="events", subjects=["events.>"], discard="new", **limits),
    )
    for number in range(6):
        put(emptied_service, "u", number=number, text="x" * 500)
    with emptied_service.configured(MG_USERS_ES_URL=own_nats.url):
        counts = emptied_service.deliver()
    assert counts["delivered"] == 3
    assert (counts["refused"], counts["unavailable"]) == (0, 3)
    assert [event.payload["number"] for event in events(own_nats.url)] == [0, 1, 2]
    left = emptied_service.execute("SELECT payload, attempts FROM users_outbox ORDER BY seq")
    assert [(each["payload"]["number"], each["attempts"]) for each in left] == [(3, 0), (4, 0), (5, 0)]


# --- order


def test_no_event_overtakes_a_refused_one_of_its_account(emptied_service: Service, own_nats: NatsServer) -> None:
    put(emptied_service, "u", number=1)
    put(emptied_service, "u", number=2, text="x" * 1024 * 1024)
    put(emptied_service, "u", number=3)
    put(emptied_service, "v", number=4)
    with emptied_service.configured(MG_USERS_ES_URL=own_nats.url):
        counts = emptied_service.deliver()
    assert (counts["delivered"], counts["refused"]) == (2, 1)
    assert sorted(event.payload["number"] for event in events(own_nats.url)) == [1, 4]
    left = emptied_service.execute("SELECT payload->'number' AS number, attempts FROM users_outbox ORDER BY seq")
    assert [(each["number"], each["attempts"]) for each in left] == [(2, 1), (3, 0)]


def test_who_may_not_publish_is_told_so(
    emptied_service: Service, tmp_path: Path, log_output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_stream, "_TIMEOUT", 0.5)
    users = 'authorization { users: [{ user: a, password: b, permissions: { publish: "none" } }] }'
    put(emptied_service, "u", number=1)
    with (
        configured_nats(tmp_path, users) as port,
        emptied_service.configured(MG_USERS_ES_URL=f"nats://a:b@127.0.0.1:{port}"),
    ):
        assert emptied_service.deliver()["unavailable"] == 1
    assert "permissions violation for publish" in log_output.getvalue()


# --- a connection that is kept from run to run


def client_of_environment() -> Any:
    """Return the client that the relay keeps in this process."""
    channel = kept_channel._kept["event"]
    assert isinstance(channel, NatsChannel)
    return channel._client


def test_the_connection_is_kept_from_run_to_run_and_closed_before_a_snapshot(
    emptied_service: Service, own_nats: NatsServer
) -> None:
    with emptied_service.configured(MG_USERS_ES_URL=own_nats.url):
        clients = []
        for number in range(3):
            put(emptied_service, "u", number=number)
            assert emptied_service.deliver()["delivered"] == 1
            clients.append(client_of_environment())
        assert clients == clients[:1] * 3
        assert clients[0].is_connected
        snapstart.forget()
        assert clients[0].is_closed
        put(emptied_service, "u", number=3)
        assert emptied_service.deliver()["delivered"] == 1
    assert [event.payload["number"] for event in events(own_nats.url)] == [0, 1, 2, 3]


@pytest.mark.parametrize("trusted", [0.0, 3600.0])
def test_a_server_that_restarted_between_two_runs_costs_no_run(
    emptied_service: Service, own_nats: NatsServer, monkeypatch: pytest.MonkeyPatch, trusted: float
) -> None:
    """The relay checks the connection before it uses it, or the connection breaks during the delivery."""
    monkeypatch.setattr(nats_stream, "_TRUSTED", trusted)
    with emptied_service.configured(MG_USERS_ES_URL=own_nats.url):
        put(emptied_service, "u", number=0)
        assert emptied_service.deliver()["delivered"] == 1
        own_nats.kill()
        own_nats.start()
        own_nats.wait_ready()
        for number in (1, 2):
            put(emptied_service, "u", number=number)
        began = time.monotonic()
        assert emptied_service.deliver()["delivered"] == 2
        assert time.monotonic() - began < nats_stream._TIMEOUT, "the answer of the ended connection is not awaited"
    assert [event.payload["number"] for event in events(own_nats.url)] == [0, 1, 2]


def test_a_server_that_stays_away_is_told_and_found_again(emptied_service: Service, own_nats: NatsServer) -> None:
    with emptied_service.configured(MG_USERS_ES_URL=own_nats.url):
        put(emptied_service, "u", number=0)
        assert emptied_service.deliver()["delivered"] == 1
        own_nats.kill()
        put(emptied_service, "u", number=1)
        assert emptied_service.deliver()["unavailable"] == 1
        own_nats.start()
        own_nats.wait_ready()
        assert emptied_service.deliver()["delivered"] == 1
    assert [event.payload["number"] for event in events(own_nats.url)] == [0, 1]


class Proxy:
    """A proxy whose connections can fall silent, like connections that a NAT gateway has dropped."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._silent: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """Stop forwarding on all present connections, without closing them."""
        self._silent.update(each for pair in self._pairs for each in pair)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._pairs.append((client, server))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source not in self._silent:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()
        for pair in self._pairs:
            for each in pair:
                each.close()


def test_a_connection_that_fell_silent_while_the_function_was_frozen_is_replaced(
    emptied_service: Service, own_nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_stream, "_TRUSTED", 0.0)  # as if the last use were long ago
    with (
        closing(Proxy(own_nats.port)) as proxy,
        emptied_service.configured(MG_USERS_ES_URL=f"nats://127.0.0.1:{proxy.port}"),
    ):
        put(emptied_service, "u", number=0)
        assert emptied_service.deliver()["delivered"] == 1
        proxy.silence()
        put(emptied_service, "u", number=1)
        assert emptied_service.deliver()["delivered"] == 1
    assert [event.payload["number"] for event in events(own_nats.url)] == [0, 1]


@pytest.mark.long
def test_a_relay_that_was_stopped_for_longer_than_the_server_waits(emptied_service: Service, tmp_path: Path) -> None:
    """The server ends the connection of a process that answers no pings.

    A frozen function looks like that to the server.
    """
    relay = (
        "import json, sys\n"
        "from background.delivery.kept_channel import KeptChannel\n"
        "from background.delivery.event_stream import event_channel\n"
        "from background.delivery.relay import deliver_due\n"
        "for _ in sys.stdin:\n"
        "    counts = deliver_due({'event': lambda: KeptChannel('event', event_channel)}, lambda: True)\n"
        "    print(json.dumps(counts), flush=True)\n"
    )
    with configured_nats(tmp_path, 'ping_interval: "200ms"\nping_max: 1\ndebug: true') as port:
        url = f"nats://127.0.0.1:{port}"
        environment = {**os.environ, "MG_USERS_ES_URL": url}
        environment["PYTHONPATH"] = f"{ROOT}/layers/common/python:{ROOT}/layers/background/python"
        process = subprocess.Popen(
            [sys.executable, "-c", relay], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        log = tmp_path / "nats.log"

        def deliver() -> Any:
            assert process.stdin is not None
            assert process.stdout is not None
            print(file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())["delivered"]

        try:
            put(emptied_service, "u", number=0)
            assert deliver() == 1
            process.send_signal(signal.SIGSTOP)
            eventually(lambda: "Stale Client Connection" in log.read_text())
            process.send_signal(signal.SIGCONT)
            put(emptied_service, "u", number=1)
            assert deliver() == 1
        finally:
            process.kill()
            process.communicate()
        assert [event.payload["number"] for event in events(url)] == [0, 1]
