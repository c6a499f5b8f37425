"""The ports of the local system: which variable sets each, and whether they can be had."""

import errno
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.parts.postgres import free_port
from users.settings import Settings

LOOPBACK = "127.0.0.1"


class PortUnusable(Exception):
    """A port is taken, not permitted or not a number; the text names it and its variable."""


@dataclass(frozen=True)
class Port:
    """A port that a part of the system listens on."""

    variable: str
    number: int
    host: str = LOOPBACK


DEFAULTS = {
    "MG_USERS_HTTP_PORT": 9002,
    "MG_LOCAL_LAMBDA_PORT": 9003,
    "MG_AUTH_GRPC_PORT": 8181,
    "MG_AUTH_HTTP_PORT": 9001,
    "MG_SPICEDB_PORT": 50051,
    "MG_LOCAL_NATS_PORT": 4222,
    "MG_LOCAL_POSTGRES_PORT": 5434,  # 5432 and 5433 belong to a PostgreSQL of the machine, where there is one
    "MG_LOCAL_MAIL_PORT": 8005,
}


def read(environment: Mapping[str, str]) -> dict[str, Port]:
    """Return the ports by their variables; 0 becomes a free one. Raise PortUnusable, naming all that are none."""
    hosts = {"MG_USERS_HTTP_PORT": environment.get("MG_USERS_HTTP_HOST") or "localhost"}
    texts = {variable: environment.get(variable) or str(default) for variable, default in DEFAULTS.items()}
    wrong = [variable for variable, text in texts.items() if not _is_port(text)]
    if wrong:
        raise PortUnusable("\n".join(f"{name}={texts[name]} is not a port number (0 to 65535)" for name in wrong))
    return {name: Port(name, int(text) or free_port(), hosts.get(name, LOOPBACK)) for name, text in texts.items()}


def _is_port(text: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", text) is not None and int(text) <= 65535


def shared(ports: Iterable[Port]) -> list[str]:
    """Return a line for each number that several of the variables have: only one of them can listen there."""
    variables: dict[int, list[str]] = {}
    for port in ports:
        variables.setdefault(port.number, []).append(port.variable)
    return [f"{', '.join(names)} are all {number}" for number, names in variables.items() if len(names) > 1]


def grpc_port(environment: Mapping[str, str]) -> Port:
    """Return where `make grpc` listens, which serves beside the system; its settings were found right before."""
    own = {name: value for name, value in environment.items() if name.startswith("MG_USERS_GRPC_")}
    settings = Settings(own)
    return Port("MG_USERS_GRPC_PORT", settings.grpc_port, settings.grpc_host)


def problem(port: Port) -> str | None:
    """Say why nothing can listen on `port` now, or return None."""
    try:
        addresses = socket.getaddrinfo(port.host, port.number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return f"{port.host} cannot be resolved ({error.strerror})"
    refusals = [reason for family, *_, address in addresses if (reason := _refusal(family, address))]
    taken = [reason for reason in refusals if reason == "is taken"]
    if taken or len(refusals) == len(addresses):  # one address family may be missing on this machine
        return f"port {port.number} of {port.host} {(taken or refusals)[0]}"
    return None


def _refusal(family: int, address: tuple[Any, ...]) -> str | None:
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind(address)
            probe.listen()  # two sockets may be bound with SO_REUSEADDR, only one may listen
        except PermissionError:
            return "is only for root"
        except OSError as error:
            return "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
    return None
