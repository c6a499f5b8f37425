"""Many requests at once, slow ones, and functions that crash."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from local.gateway.tests.conftest import StartGateway
    from local.gateway.tests.gateway_process import GatewayProcess
    from local.gateway.tests.peer import Peer


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    """Threads that send requests."""
    with ThreadPoolExecutor(64) as threads:
        yield threads


def test_64_clients(gateway: GatewayProcess, clients: ThreadPoolExecutor) -> None:
    """No request fails, and every client gets its own answer."""

    def ask(number: int) -> None:
        with gateway.client() as client:
            for turn in range(5):
                response = client.get(f"/users/{number}-{turn}")
                assert response.status_code == 200
                assert response.json()["pathParameters"] == {"id": f"{number}-{turn}"}

    for result in [clients.submit(ask, number) for number in range(64)]:
        result.result()


def test_a_free_environment_serves_while_another_is_slow(
    peer: Peer, clients: ThreadPoolExecutor, http: httpx.Client
) -> None:
    """Requests to a function do not wait for a slow one to the same function."""
    slow = clients.submit(http.get, f"/talk?port={peer.port}")
    slow_one = peer.meet()
    for _ in range(3):
        quick = clients.submit(http.get, f"/talk?port={peer.port}")
        quick_one = peer.meet()
        quick_one.order()
        assert quick.result().text == str(quick_one.report["pid"]) != str(slow_one.report["pid"])
    assert not slow.done()
    slow_one.order()
    assert slow.result().text == str(slow_one.report["pid"])


def test_a_busy_function_does_not_delay_another(
    start_gateway: StartGateway, peer: Peer, clients: ThreadPoolExecutor
) -> None:
    """Other functions answer while every environment of one function is busy."""
    gateway = start_gateway(MG_LOCAL_WORKERS="1")
    with gateway.client() as client:
        busy = [clients.submit(client.get, f"/talk?port={peer.port}") for _ in range(5)]
        first = peer.meet()
        assert client.get("/users/profile").status_code == 200
        assert not any(each.done() for each in busy)
        first.order()
        for _ in range(4):
            next_one = peer.meet()
            # The only environment runs one invoke at a time.
            assert next_one.report["pid"] == first.report["pid"]
            next_one.order()
        assert [each.result().status_code for each in busy] == [200] * 5


def test_first_come_first_served(start_gateway: StartGateway, peer: Peer, clients: ThreadPoolExecutor) -> None:
    """Waiting requests are served in the order of their arrival."""
    gateway = start_gateway(MG_LOCAL_WORKERS="1")
    lambda_client = gateway.lambda_client()
    with gateway.client() as client:
        first = clients.submit(client.get, f"/talk?port={peer.port}")
        conversation = peer.meet()
        # An asynchronous invoke is in the queue when the client has its 202.
        for number in range(5):
            payload = f'{{"port": {peer.port}, "number": {number}}}'
            lambda_client.invoke(FunctionName="TalkFunction", InvocationType="Event", Payload=payload)
        order = []
        for _ in range(5):
            conversation.order()
            conversation = peer.meet()
            order.append(conversation.report["event"]["number"])
        conversation.order()
        assert order == [0, 1, 2, 3, 4]
        assert first.result().status_code == 200


def test_a_waiting_request_takes_the_environment_that_becomes_free(
    start_gateway: StartGateway, peer: Peer, clients: ThreadPoolExecutor
) -> None:
    """However many requests wait, there are no more environments than MG_LOCAL_WORKERS."""
    gateway = start_gateway(MG_LOCAL_WORKERS="2")
    with gateway.client() as client:
        requests = [clients.submit(client.get, f"/talk?port={peer.port}") for _ in range(8)]
        running = [peer.meet(), peer.meet()]
        pids = {each.report["pid"] for each in running}
        for _ in range(6):
            running.pop(0).order()
            running.append(peer.meet())
            pids.add(running[-1].report["pid"])
        for each in running:
            each.order()
        assert {response.result().status_code for response in requests} == {200}
        assert len(pids) == 2


def test_a_crash_is_of_one_request(peer: Peer, clients: ThreadPoolExecutor, http: httpx.Client) -> None:
    """Other requests, and the next one, are served."""
    crashing = clients.submit(http.get, f"/talk?port={peer.port}")
    crashing_one = peer.meet()
    other = clients.submit(http.get, f"/talk?port={peer.port}")
    other_one = peer.meet()
    crashing_one.order("exit")
    assert crashing.result().status_code == 500
    other_one.order()
    assert other.result().status_code == 200
    again = clients.submit(http.get, f"/talk?port={peer.port}")
    peer.meet().order()
    assert again.result().status_code == 200


def test_integration_timeout(peer: Peer, clients: ThreadPoolExecutor, http: httpx.Client) -> None:
    """The client gets 503, and the function runs on."""
    request = clients.submit(http.get, f"/impatient?port={peer.port}")
    conversation = peer.meet()
    response = request.result()
    assert (response.status_code, response.content) == (503, b'{"message":"Service Unavailable"}')
    conversation.order()
    later = clients.submit(http.get, f"/impatient?port={peer.port}")
    same_one = peer.meet()
    same_one.order()
    assert same_one.report["pid"] == conversation.report["pid"]
    assert later.result().status_code in (200, 503)


def test_a_client_that_goes_away_ends_nothing(
    gateway: GatewayProcess, peer: Peer, clients: ThreadPoolExecutor, http: httpx.Client
) -> None:
    """The function finishes, and its environment serves the next request."""
    with socket.create_connection(("127.0.0.1", gateway.http_port)) as leaving:
        leaving.sendall(f"GET /talk?port={peer.port} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        conversation = peer.meet()
    again = clients.submit(http.get, f"/talk?port={peer.port}")
    other_one = peer.meet()
    assert other_one.report["pid"] != conversation.report["pid"]
    conversation.order()
    other_one.order()
    assert again.result().status_code == 200
