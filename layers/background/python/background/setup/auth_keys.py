"""A check that Auth's public keys are not fetched over plain http outside a private network (S67).

An attacker who can change the traffic could replace the keys. Then this service would accept every token of the
attacker, also an administrator's. A trusted private network is an acceptable risk. Any other network is not.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from background.setup.local_mode import in_local_mode
from users.settings import WrongSettings, settings
from users.telemetry.log import logger


def check_address_of_keys() -> None:
    """Raise WrongSettings where ``MG_AUTH_JWKS_URL`` is http, and gRPC to Auth uses TLS or the host is public.

    Accept a host without an address, because the network may be joined to Auth's after the first deployment. Accept
    everything on a developer's machine.
    """
    url = urlsplit(settings().auth_jwks_url)
    if url.scheme != "http" or settings().auth_keys_algorithm != "EdDSA" or in_local_mode():
        return
    if settings().auth_grpc_server_ca_certs:
        raise WrongSettings(
            "MG_AUTH_JWKS_URL: must begin with https where MG_AUTH_GRPC_SERVER_CA_CERTS is set (parameters AuthJwksUrl"
            " and AuthGrpcServerCaCerts): TLS to Auth does not help while an attacker can replace its keys"
        )
    for address in _addresses(url.hostname or ""):
        if address.is_global:
            raise WrongSettings(
                f"MG_AUTH_JWKS_URL: must begin with https, because {url.hostname} ({address}) leaves the private"
                " network (parameter AuthJwksUrl): an attacker in between could replace Auth's keys"
            )


def _addresses(host: str) -> list[IPv4Address | IPv6Address]:
    """Return the addresses of a host. Log a warning and return [] when the name does not resolve."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        logger.warning("the host of MG_AUTH_JWKS_URL has no address yet")
        return []
    addresses = [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
    # An IPv4 address in IPv6 notation counts as IPv4.
    return [getattr(address, "ipv4_mapped", None) or address for address in addresses]
