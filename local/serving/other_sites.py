"""The rule that keeps pages of other sites away from the ports of this machine.

A browser lets every page send requests to localhost. A page whose host name resolves to 127.0.0.1 (DNS rebinding) can
also read the answers. A port for programs of this machine therefore accepts a request only if `Host` names this
machine, and if `Origin` and `Sec-Fetch-Site` name no other site. Browsers set these two headers, and pages cannot
change them.
local/mail/server.js has the same rule for the page of mails. One test compares both.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOST = re.compile(r"(?:(?P<name>[a-z0-9._-]+)|\[(?P<ipv6>[0-9a-f:.]+)\])(?::[0-9]{1,5})?")
_OWN_SITE = ("same-origin", "none")  # none: a person has typed the address


def refusal(headers: Mapping[str, str], own_name: str = "") -> str | None:
    """Return why a request is refused, or None for a request that no page of another site can send.

    The names of `headers` are in lower case. `own_name` is a name of this machine beside the loopback's.
    """
    host = headers.get("host", "").lower()
    if not _names_this_machine(host, own_name.lower()):
        return "the Host header does not name this machine"
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}":
        return "pages of another origin may not ask this port"
    if headers.get("sec-fetch-site", "none").lower() not in _OWN_SITE:
        return "pages of another site may not ask this port: type its address instead"
    return None


def is_loopback(name: str) -> bool:
    """Return whether a host is only this machine: localhost, a name below it, or an address of the loopback."""
    name = name.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _names_this_machine(host: str, own_name: str) -> bool:
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found["name"] or found["ipv6"]
    return is_loopback(name) or (name == own_name and not _is_any_address(own_name))


def _is_any_address(name: str) -> bool:
    """Return whether a name is 0.0.0.0 or ::, which name the browser's own machine in a page of any site."""
    try:
        return ipaddress.ip_address(name).is_unspecified
    except ValueError:
        return False
