"""Variables with addresses of this machine, and the addresses that containers need instead.

127.0.0.1 in a container is the container itself. The parts of `make run` listen on 127.0.0.1 of this machine, and a
relay (relay.py) connects to them from an address that containers reach.
"""

import re
from collections.abc import Mapping
from functools import partial

# The mail page and the Lambda Invoke API accept only host names of this machine (local/serving/other_sites.py).
# samconfig.toml lets containers resolve this name to the address that the relay listens on.
MACHINE = "make-run.localhost"

# Variables with `host:port`, alone or in a URL. Links in mails are not here: a browser on this machine opens them.
_ADDRESSES = (
    "MG_AUTH_GRPC_URL",
    "MG_AUTH_JWKS_URL",
    "MG_DOMAINS_GRPC_URL",
    "MG_USERS_ES_URL",
    "MG_ES_URL",
    "MG_JAEGER_URL",
)
_ENDPOINT = "AWS_ENDPOINT_URL"
_HOSTS_WITH_PORTS = {
    "MG_USERS_DB_HOST": ("MG_USERS_DB_PORT", "5432"),
    "MG_SPICEDB_HOST": ("MG_SPICEDB_PORT", "50051"),
    "MG_EMAIL_HOST": ("MG_EMAIL_PORT", "25"),
}
_HOST = r"localhost|127\.[0-9]+\.[0-9]+\.[0-9]+|\[::1\]"
_LOOPBACK = re.compile(rf"(?<![\w.-])({_HOST}):([0-9]+)")


def ports_of_this_machine(variables: Mapping[str, str]) -> dict[int, str]:
    """Return the ports of the loopback in the variables, each with the first variable that has it."""
    found: dict[int, str] = {}
    for name, value in variables.items():
        if _is_address(name):
            for match in _LOOPBACK.finditer(value):
                found.setdefault(int(match[2]), name)
    for name, (port_name, default) in _HOSTS_WITH_PORTS.items():
        if _is_here(variables.get(name, "")):
            found.setdefault(int(variables.get(port_name) or default), name)
    return found


def as_containers_reach_them(variables: Mapping[str, str], gateway: str, relayed: Mapping[int, int]) -> dict[str, str]:
    """Return the variables with the relay's address in place of every address of the loopback.

    The relay listens on the address `gateway`. `relayed` maps each of `ports_of_this_machine` to a port of the relay.
    """
    changed = dict(variables)
    for name, value in variables.items():
        if _is_address(name):
            host = MACHINE if name.startswith(_ENDPOINT) else gateway
            changed[name] = _LOOPBACK.sub(partial(_relayed, host, relayed), value)
    for name, (port_name, default) in _HOSTS_WITH_PORTS.items():
        if _is_here(variables.get(name, "")):
            changed[name] = gateway
            changed[port_name] = str(relayed[int(variables.get(port_name) or default)])
    return changed


def _relayed(host: str, relayed: Mapping[int, int], found: re.Match[str]) -> str:
    return f"{host}:{relayed[int(found[2])]}"


def _is_address(name: str) -> bool:
    return name in _ADDRESSES or name.startswith(_ENDPOINT)


def _is_here(host: str) -> bool:
    """Return whether a host is the loopback or the directory of a socket, whose server also listens on a port."""
    return host.startswith("/") or re.fullmatch(_HOST, host) is not None
