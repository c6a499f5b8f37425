"""Whether Auth's public keys may be fetched over plain http (S67).

Whoever can change what is on the way can put in keys of its own, and then every token that it signs is genuine here, an
administrator's too. In a private network that is trusted this may be taken; outside it, it may not.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from background.setup.local_mode import in_local_mode
from users.settings import WrongSettings, settings
from users.telemetry.log import logger


def check_address_of_keys() -> None:
    """Raise WrongSettings where ``MG_AUTH_JWKS_URL`` is http, and gRPC to Auth uses TLS or the host is a public one.

    A host that has no address yet is taken: the network may be joined to Auth's after the first deployment. On a
    developer's machine everything is taken.
    """
    url = urlsplit(settings().auth_jwks_url)
    if url.scheme != "http" or settings().auth_keys_algorithm != "EdDSA" or in_local_mode():
        return
    if settings().auth_grpc_server_ca_certs:
        raise WrongSettings(
            "MG_AUTH_JWKS_URL: must begin with https where MG_AUTH_GRPC_SERVER_CA_CERTS is set (parameters AuthJwksUrl"
            " and AuthGrpcServerCaCerts): TLS to Auth is of no use while its keys can be replaced on the way"
        )
    for address in _addresses(url.hostname or ""):
        if address.is_global:
            raise WrongSettings(
                f"MG_AUTH_JWKS_URL: must begin with https, because {url.hostname} ({address}) leaves the private"
                " network (parameter AuthJwksUrl): whoever is on the way could replace Auth's keys"
            )


def _addresses(host: str) -> list[IPv4Address | IPv6Address]:
    """The addresses of a host; none when it has none, or when nobody can tell."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        logger.warning("the host of MG_AUTH_JWKS_URL has no address yet")
        return []
    addresses = [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
    # An IPv4 address that is written as IPv6 counts as what it is.
    return [getattr(address, "ipv4_mapped", None) or address for address in addresses]
