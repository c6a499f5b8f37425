"""Waking the relay never raises. Without a database here, no run is known to be about to look."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from tests.http_server import HttpServer, http_server
from users.aws.signature import signed_headers
from users.steps import wake

ENVIRONMENT = {
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "MG_USERS_DB_HOST": "127.0.0.1",
    "MG_USERS_DB_PORT": "1",
}


@pytest.fixture
def fresh_connection() -> Iterator[None]:
    yield
    if wake._connection is not None:
        wake._connection.close()
    wake._connection = None


@pytest.fixture
def endpoint(configure: Callable[..., None], fresh_connection: None) -> Iterator[HttpServer]:
    with http_server(status=202) as server:
        configure(**ENVIRONMENT, AWS_ENDPOINT_URL_LAMBDA=server.url, OUTBOX_FUNCTION="users:Deliver Outbox")
        yield server


def test_one_asynchronous_invoke(endpoint: HttpServer) -> None:
    wake.wake_delivery()
    (request,) = endpoint.received
    assert (request.method, request.path) == ("POST", "/2015-03-31/functions/users%3ADeliver%20Outbox/invocations")
    assert request.body == b"{}"
    assert request.headers["x-amz-invocation-type"] == "Event"
    moment = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    invoke = {"x-amz-invocation-type": "Event"}
    host = endpoint.url.removeprefix("http://")
    expected = signed_headers("lambda", host, request.path, invoke, b"{}", ENVIRONMENT, moment)
    assert request.headers["authorization"] == expected["authorization"]


def test_the_connection_is_kept(endpoint: HttpServer) -> None:
    for _ in range(3):
        wake.wake_delivery()
    kept = wake._connection
    assert kept is not None
    wake.wake_delivery()
    assert wake._connection is kept
    assert len(endpoint.received) == 4


def test_nothing_is_sent_without_a_function_to_wake(endpoint: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTBOX_FUNCTION")
    wake.wake_delivery()
    assert endpoint.received == []


def test_a_kept_connection_that_was_closed_is_replaced_once(endpoint: HttpServer) -> None:
    wake.wake_delivery()

    def hang_up() -> None:
        endpoint.before_answer = lambda: None
        raise ConnectionError

    endpoint.before_answer = hang_up
    wake.wake_delivery()
    assert len(endpoint.received) == 3


@pytest.mark.parametrize("status", [200, 403, 429, 500])
def test_other_answers_do_not_raise_and_are_not_repeated(
    endpoint: HttpServer, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.status = status
    wake.wake_delivery()
    assert len(endpoint.received) == 1
    assert "delivery was not woken" in caplog.text


def test_nobody_listening_does_not_raise(
    configure: Callable[..., None], fresh_connection: None, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as bound:  # bound but not listening, so that no other process gets the port
        bound.bind(("127.0.0.1", 0))
        configure(
            **ENVIRONMENT,
            AWS_ENDPOINT_URL_LAMBDA=f"http://127.0.0.1:{bound.getsockname()[1]}",
            OUTBOX_FUNCTION="x",
        )
        wake.wake_delivery()
    assert "delivery was not woken" in caplog.text


def test_what_is_not_http_does_not_raise(
    configure: Callable[..., None], fresh_connection: None, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        configure(
            **ENVIRONMENT, AWS_ENDPOINT_URL_LAMBDA=f"http://127.0.0.1:{listener.getsockname()[1]}", OUTBOX_FUNCTION="x"
        )
        wake.wake_delivery()
        thread.join()
    assert "delivery was not woken" in caplog.text


def test_silence_on_a_kept_connection_takes_the_limit_once_and_sends_once(
    endpoint: HttpServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wake, "_TIMEOUT", 0.2)
    wake.wake_delivery()
    over = threading.Event()
    endpoint.before_answer = lambda: (over.wait(10), None)[1]
    wake.wake_delivery()
    over.set()
    assert len(endpoint.received) == 2
    assert "delivery was not woken" in caplog.text


def test_the_region_says_where_lambda_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "AWS_ENDPOINT_URL_LAMBDA" not in os.environ
    assert wake._endpoint("eu-central-1") == "https://lambda.eu-central-1.amazonaws.com"
