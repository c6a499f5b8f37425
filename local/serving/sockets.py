"""Ports of this machine: listen on one, check that one is free, find a free one."""

import errno
import socket
from contextlib import ExitStack
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
_ATTEMPTS = 20
_NO_SUCH_FAMILY = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


@dataclass(frozen=True)
class Port:
    """A port of a host, with the variables that set both. `localhost` is IPv4 and IPv6, an empty host all addresses."""

    variable: str
    number: int
    host: str = LOOPBACK
    host_variable: str = ""


class PortUnusable(Exception):
    """Nothing can listen on a port. The text contains the port, the reason, and the variable that helps."""

    def __init__(self, problem: str, variable: str) -> None:
        """`problem` is the text without the variable."""
        super().__init__(f"{problem}: choose another with {variable}")
        self.problem = problem


def listen(port: Port) -> list[socket.socket]:
    """Return sockets that listen on every address of the port's host. Raise PortUnusable.

    Number 0 becomes one free port, the same for all addresses.
    """
    addresses = _addresses(port)
    for _ in range(_ATTEMPTS):
        try:
            return _listen_on(addresses, port.number)
        except OSError as error:
            # A port that is free on the first address may be taken on the second. Then another one is tried.
            if error.errno == errno.EADDRINUSE and port.number == 0:
                continue
            raise _unusable(port, error) from error
    raise PortUnusable(f"{port.host} has no free port", port.variable)


def check(port: Port) -> None:
    """Raise PortUnusable if nothing can listen on `port` now."""
    for listener in listen(port):
        listener.close()


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """Return the numbers of ports that are free at this moment. Any process may take them afterwards."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind((host, 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


def free_port() -> int:
    """Return the number of one port that is free on 127.0.0.1 at this moment."""
    return free_ports(1)[0]


def _unusable(port: Port, error: OSError) -> PortUnusable:
    where = f"port {port.number} of {port.host or 'this machine'}"
    if error.errno == errno.EADDRINUSE:
        return PortUnusable(f"{where} is taken", port.variable)
    if error.errno == errno.EACCES:
        return PortUnusable(f"{where} is only for root", port.variable)
    problem = f"{where if port.number else port.host} cannot be used ({error.strerror})"
    return PortUnusable(problem, port.host_variable or port.variable)


def _addresses(port: Port) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(port.host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        problem = f"{port.host} cannot be resolved ({error.strerror})"
        raise PortUnusable(problem, port.host_variable or port.variable) from error
    # IPv4 comes first, whatever the resolver prefers: it decides which port 0 becomes. No address comes twice.
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
                listener.listen(1024)  # two sockets may be bound with SO_REUSEADDR, only one may listen
            except OSError as error:
                # localhost may name an IPv6 address on a machine without IPv6.
                if error.errno in _NO_SUCH_FAMILY and (listeners or address != addresses[-1][1]):
                    continue
                raise
            listeners.append(listener)
            port = listener.getsockname()[1]
        failed.pop_all()
        return listeners
