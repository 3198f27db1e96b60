"""The host names that the console accepts. Without this check another web site could let its name resolve to this
machine (DNS rebinding), and read what the console shows."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def is_network(text: str) -> bool:
    """Whether it is an address, or a network of them. The server would ignore a name."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def name_of(host: str) -> str:
    """A name or an address, as a header Host has it or an option, without its port and in lower case. An IPv6 address
    may have no brackets, and is shortened as browsers shorten it."""
    host = host.lower()
    if host.startswith("["):
        name = host[1:].partition("]")[0]
    else:
        name = host if host.count(":") > 1 else host.partition(":")[0]
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def is_allowed(host: str, allowed: Collection[str]) -> bool:
    """Whether a request with this header is for the console."""
    return name_of(host) in allowed
