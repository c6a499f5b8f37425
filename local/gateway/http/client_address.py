"""The client's address when proxies stand before the gateway, from X-Forwarded-For or Forwarded.

Each proxy appends the address of its own client, and leaves the entries before it unchanged. So an entry is only
reliable if a trusted proxy wrote it. The first address from the right that belongs to no trusted proxy is the client's.
A client that sends such a header itself therefore cannot choose its address.

X-Forwarded-For contains addresses (the Squid project's convention; nginx and others also write IPv6 and ports).
Forwarded contains elements such as `for="[2001:db8::1]:4711";proto=https` (RFC 7239).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HEADERS = ("x-forwarded-for", "forwarded")

# A client can send a long header, so only this many entries are read. No operator has more proxies in a row.
_MOST_PROXIES = 20

# An address, perhaps with a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80
_NODE = re.compile(
    r"(?P<v4>[0-9.]+)(?::[0-9]{1,5})?|\[(?P<v6>[0-9a-fA-F:.]+)\](?::[0-9]{1,5})?|(?P<bare>[0-9a-fA-F:.]+)"
)

# A name=value pair of an element of Forwarded. A quoted value with an escape or a separator in it is no address.
_PAIR = re.compile(r'\s*([a-z-]+)=(?:"([^"\\,;]*)"|([^\s"\\,;=]+))\s*', re.IGNORECASE)


class NotNetworks(ValueError):
    """A list contains an entry that is no network, or a network of all addresses."""


def read_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list with commas, such as `127.0.0.1, 10.0.0.0/8, ::1`. Raise NotNetworks."""
    found = []
    for each in filter(None, map(str.strip, text.split(","))):
        try:
            network = ipaddress.ip_network(each)
        except ValueError:
            raise NotNetworks(f"{each} is no network such as 10.0.0.0/8 or ::1") from None
        if network.prefixlen == 0:
            raise NotNetworks(f"{each} contains all addresses, so every client could choose its own")
        found.append(network)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Proxies:
    """The networks of the trusted proxies, and the one of HEADERS that all of them set."""

    trusted: tuple[Network, ...] = ()
    header: str = HEADERS[0]

    def client_of(self, peer: str, headers: Sequence[tuple[str, str]]) -> str:
        """Return the client's address: `peer`, which opened the connection, or the address that trusted proxies sent.

        The names of `headers` are in lower case. An entry that is no address ends the search. Then the proxy that wrote
        it counts as the client.
        """
        client = _address(peer)
        if client is None or not self._trusts(client):
            return peer
        entries = ",".join(value for name, value in headers if name == self.header).split(",")[-_MOST_PROXIES:]
        read = _address if self.header == HEADERS[0] else _forwarded_for
        while self._trusts(client) and entries:
            before = read(entries.pop())
            if before is None:
                break
            client = before
        return str(client)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.trusted)


def _address(text: str) -> Address | None:
    node = _NODE.fullmatch(text.strip())
    if node is None:
        return None
    try:
        address = ipaddress.IPv6Address(node["v6"]) if node["v6"] else ipaddress.ip_address(node["v4"] or node["bare"])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _forwarded_for(element: str) -> Address | None:
    pairs = [_PAIR.fullmatch(pair) for pair in element.split(";")]
    if not all(pairs):
        return None
    values = [pair[2] or pair[3] or "" for pair in pairs if pair and pair[1].lower() == "for"]
    return _address(values[0]) if len(values) == 1 else None
