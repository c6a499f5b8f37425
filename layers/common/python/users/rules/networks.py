"""The networks of an address. Limits count networks instead of single addresses (S46, S48)."""

import ipaddress
from dataclasses import dataclass

from users.rules.secret_key import keyed_digest

WIDE_FACTOR = 4  # the limit of a wide network, in limits of a near network


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Digests of the networks of an address, in hexadecimal digits.

    ``near``: an IPv4 address alone, or the /64 of an IPv6 address, which usually belongs to one host.
    ``wide``: the /48 of an IPv6 address, which usually belongs to one site. Empty for any other address.
    """

    near: str
    wide: str


def networks_of(address: str) -> Networks:
    """Return the networks of a request's address. A text that is no IP address counts as it is.

    The digests are HMACs, so that a reader of the database who does not have ``MG_USERS_SECRET_KEY`` cannot try all
    addresses.
    WrongSettings when that key is missing.
    """
    near, wide = _texts(address)
    return Networks(near=_digest(near), wide=_digest(wide) if wide else "")


def _texts(address: str) -> tuple[str, str]:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address, ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return _prefix(parsed, 64), _prefix(parsed, 48)
        parsed = parsed.ipv4_mapped
    return str(parsed), ""


def _prefix(address: ipaddress.IPv6Address, length: int) -> str:
    return str(ipaddress.IPv6Network((int(address), length), strict=False))


def _digest(network: str) -> str:
    return keyed_digest("digests of addresses", network)
