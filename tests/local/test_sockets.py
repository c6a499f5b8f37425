"""Listening sockets."""

import socket

import pytest

from local.serving.sockets import Port, PortUnusable, check, listen


def _port(host: str, number: int) -> Port:
    return Port("THE_PORT", number, host, "THE_HOST")


def test_a_free_port_is_the_same_on_every_address() -> None:
    """Port 0 on a name with several addresses."""
    sockets = listen(_port("localhost", 0))
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
        # asyncio switches Nagle's algorithm off only on such sockets: with it every answer takes 40 ms.
        assert {each.proto for each in sockets} == {socket.IPPROTO_TCP}
    finally:
        for each in sockets:
            each.close()


def test_a_taken_port_is_named_with_its_variable_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortUnusable, match=f"port {port} of 127.0.0.1 is taken: choose another with THE_PORT"):
            listen(_port("127.0.0.1", port))


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_host_that_is_not_of_this_machine_is_named_with_its_variable(host: str) -> None:
    with pytest.raises(PortUnusable, match="THE_HOST"):
        listen(_port(host, 0))


def test_a_check_leaves_the_port_free() -> None:
    (listener,) = listen(_port("127.0.0.1", 0))
    port = _port("127.0.0.1", listener.getsockname()[1])
    with listener, pytest.raises(PortUnusable):
        check(port)
    check(port)
    check(port)
