"""Requests by http.client: the behaviour that callers depend on."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.http_server import http_server
from users.aws.http_client import send


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"",
    ],
)
def test_what_is_no_http_is_an_os_error(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        served = pool.submit(serve)
        with pytest.raises(OSError, match=r"instead of an answer|closed connection"):
            send("GET", f"http://127.0.0.1:{server.getsockname()[1]}/", {}, timeout=5)
        served.result()


def test_a_url_that_names_no_port_is_an_os_error() -> None:
    with pytest.raises(OSError, match="InvalidURL"):
        send("GET", "http://127.0.0.1:port/", {}, timeout=5)


def test_a_megabyte_is_read_of_an_answer() -> None:
    with http_server(body=b"x" * 2_000_000) as server:
        assert len(send("GET", server.url, {}, timeout=5)[1]) == 1024 * 1024


def test_path_and_query_are_sent_and_redirects_are_the_callers() -> None:
    with http_server(status=302) as server:
        assert send("GET", f"{server.url}/keys?of=auth", {"Accept": "text/plain"}, timeout=5)[0] == 302
    (received,) = server.received
    assert (received.path, received.headers["accept"]) == ("/keys?of=auth", "text/plain")
