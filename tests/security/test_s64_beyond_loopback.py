"""S64 `make run` beyond the loopback has no well-known password, no endless request, none with two lengths."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from background.setup.bootstrap import BootstrapFailed
from local import environment, ports
from local.parts.gateway import Gateway
from tests.bootstrapping import bootstrap
from tests.local.test_supervisor import running
from tests.security.test_s63_other_sites import TEMPLATE
from tests.service import Service

EXPOSED = "MG_LOCAL_EXPOSED"
HOST = b"Host: localhost\r\n"
DEADLINE = 30.0  # for a connection that should end much earlier


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Yield a gateway that waits half a second for headers, and a tenth for a body."""
    short = {
        "MG_USERS_HTTP_SERVER_READ_HEADER_TIMEOUT": "500ms",
        "MG_USERS_HTTP_SERVER_READ_TIMEOUT": "100ms",
        "PATH": "/usr/bin:/bin",
    }
    log = tmp_path_factory.mktemp("gateway") / "log"
    with Gateway(template=TEMPLATE, log=log, environment=short) as started:
        yield started


@pytest.fixture(params=["HTTP API", "Lambda Invoke"])
def port(gateway: Gateway, request: pytest.FixtureRequest) -> int:
    return gateway.http_port if request.param == "HTTP API" else gateway.lambda_port


def connected(port: int, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    connection.sendall(sent)
    return connection


def received(connection: socket.socket) -> bytes:
    """Return all bytes until the other side ends the connection. Raise TimeoutError if it does not."""
    found = b""
    with suppress(ConnectionResetError):
        while more := connection.recv(65536):
            found += more
    return found


# --- the well-known password


@pytest.mark.parametrize("password", ["", "12345678"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "users.example.com"])
def test_s64_the_well_known_password_is_for_the_loopback(tmp_path: Path, host: str, password: str) -> None:
    with running(tmp_path, MG_USERS_HTTP_HOST=host, MG_USERS_ADMIN_PASSWORD=password) as run:
        assert run.wait() == 1
    assert f"MG_USERS_HTTP_HOST={host}" in run.output
    assert "Set MG_USERS_ADMIN_PASSWORD" in run.output
    assert "Nothing was started." in run.output
    assert "Traceback" not in run.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_s64_make_run_says_whose_password_it_is(place: Path) -> None:
    """The administrator was made on the loopback. No port is open to others before `make run` checks its password."""
    with running(place) as run:
        run.read_until("Ctrl-C stops everything")
    with running(place, MG_USERS_HTTP_HOST="0.0.0.0", MG_USERS_ADMIN_PASSWORD="quite another one") as run:
        assert run.wait() == 1
    assert "\nMG_USERS_HTTP_HOST: the administrator admin has the well-known password; start without" in run.output
    assert "Traceback" not in run.output
    assert "gateway is ready" not in run.output


@pytest.mark.parametrize(
    ("host", "exposed"),
    [
        ("", "false"),
        ("localhost", "false"),
        ("127.0.0.2", "false"),
        ("::1", "false"),
        ("users.localhost", "false"),
        ("0.0.0.0", "true"),
        ("::", "true"),
        ("10.0.0.7", "true"),
        ("laptop", "true"),
    ],
)
def test_s64_the_functions_know_whether_others_reach_them(tmp_path: Path, host: str, exposed: str) -> None:
    user = {"MG_USERS_HTTP_HOST": host, EXPOSED: "maybe"}
    numbers = ports.read(user)
    found = environment.functions_environment(user, environment.parts_wanted(user, numbers), numbers, None, tmp_path)
    assert found[EXPOSED] == exposed


def test_s64_no_administrator_is_made_with_it(empty: Service) -> None:
    with empty.configured(MG_USERS_ADMIN_PASSWORD="12345678", **{EXPOSED: "true"}):
        with pytest.raises(BootstrapFailed, match="MG_USERS_ADMIN_PASSWORD: the well-known default is refused"):
            bootstrap()
        assert empty.execute("SELECT id FROM users") == []


def test_s64_none_that_was_made_on_the_loopback_is_served(empty: Service) -> None:
    with empty.configured(MG_USERS_ADMIN_PASSWORD=""):
        bootstrap()
    with empty.configured(**{EXPOSED: "true"}):  # MG_USERS_ADMIN_PASSWORD has changed meanwhile
        with pytest.raises(BootstrapFailed, match="administrator admin has the well-known password"):
            bootstrap()
        token = empty.log_in("admin", "12345678")
        body = {"old_secret": "12345678", "new_secret": "quite another one"}
        assert empty.call("update_user_secret", body, token=token).status == 200
        assert bootstrap()["administrator"] == "an administrator is there already"


def test_s64_an_empty_host_is_localhost(tmp_path: Path) -> None:
    variables = {"MG_USERS_HTTP_HOST": "", "PATH": "/usr/bin:/bin"}
    with Gateway(template=TEMPLATE, log=tmp_path / "log", environment=variables) as gateway:
        listening = Path("/proc/net/tcp").read_text().split()
        assert f"0100007F:{gateway.http_port:04X}" in listening
        assert f"00000000:{gateway.http_port:04X}" not in listening


# --- endless requests


@pytest.mark.long
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-A: ",
        b"GET /users/profile HTTP/1.1\r\n" + HOST,
    ],
)
def test_s64_headers_that_do_not_come(port: int, sent: bytes) -> None:
    connections = [connected(port, sent) for _ in range(50)]
    assert [received(connection) for connection in connections] == [b""] * 50
    for connection in connections:
        connection.close()


@pytest.mark.long
@pytest.mark.parametrize(
    ("begun", "drop"),
    [
        (b"GET / HTTP/1.1\r\n" + HOST + b"X-A: ", b"a"),
        (b"", b"\r\n"),
        (b"POST /users HTTP/1.1\r\n" + HOST + b"Content-Length: 9999\r\n\r\n", b"a"),
        (b"POST /users HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 9999\r\n\r\n", b"a"),
    ],
)
def test_s64_a_request_that_comes_in_drops(port: int, begun: bytes, drop: bytes) -> None:
    """A byte does not restart the timeout, neither before an answer, nor after an answer that did not need the body."""
    with closing(connected(port, begun)) as connection:
        ended = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                while not ended.wait(0.02):
                    connection.sendall(drop)

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert received(connection).count(b"HTTP/1.1 ") <= 1
        finally:
            ended.set()
            thread.join()


def test_s64_the_second_request_of_a_connection_does_not_end(gateway: Gateway) -> None:
    whole = b"GET /users/profile HTTP/1.1\r\n" + HOST + b"\r\n"
    for sent in (whole + b"GET /", whole):
        with closing(connected(gateway.http_port, sent)) as connection:
            found = connection.recv(65536)
            assert found.startswith(b"HTTP/1.1 200")
            if sent == whole:
                connection.sendall(b"GET /users")
            assert received(connection).count(b"HTTP/1.1 ") == 0


def test_s64_who_sends_nothing_wrong_is_not_dropped(gateway: Gateway) -> None:
    """A function may take longer than headers, and a kept connection outlives a connection without headers."""
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.http_port, timeout=DEADLINE)) as client:
        for path, status in (("/users/profile", 200), ("/hangs", 500)):
            client.request("GET", path)
            with client.getresponse() as answer:
                answer.read()
                assert answer.status == status
            kept = client.sock
            with closing(connected(gateway.http_port, b"GET /")) as owing:
                assert received(owing) == b""
        client.request("GET", "/users/profile")
        assert client.getresponse().status == 200
        assert client.sock is kept is not None


# --- requests with two lengths


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 30\r\n",
        b"content-length: 0\r\ntransfer-encoding: Chunked\r\n",
    ],
)
def test_s64_a_request_with_two_lengths(port: int, headers: bytes) -> None:
    """The body, which may contain another request, is never read as one: there is one answer, then the end."""
    smuggled = b"GET /users/profile HTTP/1.1\r\n" + HOST + b"\r\n"
    request = b"POST /users HTTP/1.1\r\n" + HOST + headers + b"\r\n0\r\n\r\n" + smuggled
    with closing(connected(port, request)) as connection:
        found = received(connection)
    assert found.startswith(b"HTTP/1.1 400 ")
    assert found.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in found.lower()
    assert found.endswith(b'{"message":"Bad Request"}')


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /users HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /users HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /users HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na",
        b"POST /users HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /users HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST /users HTTP/1.1\r\n" + HOST + HOST + b"Content-Length: 0\r\n\r\n",
    ],
)
def test_s64_other_requests_that_can_be_read_in_two_ways(port: int, request_: bytes) -> None:
    with closing(connected(port, request_)) as connection:
        found = received(connection)
    assert found[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501")
    assert found.count(b"HTTP/1.1 ") == 1
