"""Listening sockets."""

from __future__ import annotations

import socket

import pytest

from local.gateway.sockets import HostError, PortTakenError, listen


def _listen(host: str, port: int) -> list[socket.socket]:
    return listen(host, port, host_variable="THE_HOST", port_variable="THE_PORT")


def test_free_port_is_the_same_on_every_address() -> None:
    """Port 0 on a name with several addresses."""
    sockets = _listen("localhost", 0)
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
        # What asyncio wants to see before it switches Nagle's algorithm off: with it every answer takes 40 ms.
        assert {each.proto for each in sockets} == {socket.IPPROTO_TCP}
    finally:
        for each in sockets:
            each.close()


def test_taken_port() -> None:
    """Named with its variable, and nothing stays open."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} is already in use on 127.0.0.1; THE_PORT"):
            _listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_foreign_host(host: str) -> None:
    """An address that is not this machine's, a name that is none."""
    with pytest.raises(HostError, match="THE_HOST"):
        _listen(host, 0)
