"""The ports of the local system: the variable that sets each one, and whether they are free."""

from collections.abc import Iterable, Mapping

from local.serving import sockets
from local.serving.sockets import LOOPBACK, Port, PortUnusable, free_ports
from local.serving.variables import Variables
from users.settings import Settings

DEFAULTS = {
    "MG_USERS_HTTP_PORT": 9002,
    "MG_LOCAL_LAMBDA_PORT": 9003,
    "MG_AUTH_GRPC_PORT": 8181,
    "MG_AUTH_HTTP_PORT": 9001,
    "MG_SPICEDB_PORT": 50051,
    "MG_LOCAL_NATS_PORT": 4222,
    "MG_LOCAL_POSTGRES_PORT": 5434,  # 5432 and 5433 belong to a PostgreSQL of the machine, if there is one
    "MG_LOCAL_MAIL_PORT": 8005,
}


def read(environment: Mapping[str, str]) -> dict[str, Port]:
    """Return the ports by their variables. Each 0 becomes a free port of its own.

    Raise SettingsUnusable, which names all wrong variables.
    """
    given = Variables(environment)
    numbers = {variable: given.port(variable, default) for variable, default in DEFAULTS.items()}
    given.check()
    hosts = {"MG_USERS_HTTP_PORT": given.text("MG_USERS_HTTP_HOST", "localhost")}
    # One call draws all ports. A second call could draw one of them again, because nothing listens there yet. The ports
    # that other variables have are left out. Enough remain, because the call draws one for each variable.
    drawn = (number for number in free_ports(len(numbers)) if number not in numbers.values())
    return {name: Port(name, number or next(drawn), hosts.get(name, LOOPBACK)) for name, number in numbers.items()}


def shared(ports: Iterable[Port]) -> list[str]:
    """Return a line for each number that several variables have: only one program can listen there."""
    variables: dict[int, list[str]] = {}
    for port in ports:
        variables.setdefault(port.number, []).append(port.variable)
    return [f"{', '.join(names)} are all {number}" for number, names in variables.items() if len(names) > 1]


def grpc_port(environment: Mapping[str, str]) -> Port:
    """Return the port of `make grpc`, which serves beside the system. The settings must have been checked before."""
    own = {name: value for name, value in environment.items() if name.startswith("MG_USERS_GRPC_")}
    settings = Settings(own)
    return Port("MG_USERS_GRPC_PORT", settings.grpc_port, settings.grpc_host)


def problem(port: Port) -> str | None:
    """Return why nothing can listen on `port` now, or None."""
    try:
        sockets.check(port)
    except PortUnusable as error:
        return error.problem
    return None
