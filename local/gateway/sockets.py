"""Listening sockets for a host and port, and what to say when they cannot be had."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

_ATTEMPTS = 20
_NO_SUCH_FAMILY = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class PortTakenError(Exception):
    """The port is in use; the text names it and the variable that changes it."""


class HostError(Exception):
    """The host is not one of this machine's; the text names it and its variable."""


def listen(host: str, port: int, *, host_variable: str, port_variable: str) -> list[socket.socket]:
    """Listening sockets on `port` of every address of `host`.

    localhost is IPv4 and IPv6, empty is all addresses. Port 0 is one free port, the same for all addresses.
    Raises PortTakenError and HostError.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _listen_on(_addresses(host, host_variable), port)
        except OSError as error:
            # A port that was free on the first address may be taken on the second: then another free one.
            if error.errno == errno.EADDRINUSE and port == 0:
                continue
            if error.errno == errno.EADDRINUSE:
                message = f"port {port} is already in use on {host or 'this machine'}; {port_variable} sets another"
                raise PortTakenError(message) from error
            name = port_variable if error.errno == errno.EACCES else host_variable
            raise HostError(f"cannot listen on {host}:{port} ({error.strerror}); see {name}") from error
    raise PortTakenError(f"no free port on {host}; {port_variable} names one")


def _addresses(host: str, host_variable: str) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise HostError(f"{host_variable}={host}: {error.strerror}") from error
    # IPv4 first, whatever the resolver prefers: it decides which port 0 becomes. No address twice.
    return sorted({(family, str(address[0])) for family, _, _, _, address in found})


def _listen_on(addresses: list[tuple[socket.AddressFamily, str]], port: int) -> list[socket.socket]:
    with ExitStack() as failed:
        listeners: list[socket.socket] = []
        for family, address in addresses:
            try:
                # asyncio sends without delay (TCP_NODELAY) only on sockets whose protocol is named.
                listener = failed.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((address, port))
                listener.listen(1024)
            except OSError as error:
                # localhost may name an IPv6 address on a machine without IPv6.
                if error.errno in _NO_SUCH_FAMILY and (listeners or address != addresses[-1][1]):
                    continue
                raise
            listeners.append(listener)
            port = listener.getsockname()[1]
        failed.pop_all()
        return listeners
