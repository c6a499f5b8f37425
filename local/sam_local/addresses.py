"""Which variables hold addresses of this machine, and what a container has to be told instead.

127.0.0.1 of a container is its own. The parts of `make run` listen on this machine's, and a relay (relay.py) leads to
them from an address that containers reach.
"""

import re
from collections.abc import Mapping
from functools import partial

# The mail page and the Lambda Invoke API accept only host names of this machine (local/serving/other_sites.py).
# samconfig.toml lets containers resolve this name to the address that the relay listens on.
MACHINE = "make-run.localhost"

# What carries `host:port`, alone or in a URL. Links in mails are not among them: a browser on this machine opens those.
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
    """Return the loopback's ports that the variables name, each with the variable that names it first."""
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
    """Return the variables with every address of this machine's loopback replaced by the relay's.

    `gateway` is where the relay listens, `relayed` its port for each of `ports_of_this_machine`.
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
    """Say whether a host is this machine's loopback, or the directory of a socket: its server has a port beside it."""
    return host.startswith("/") or re.fullmatch(_HOST, host) is not None
