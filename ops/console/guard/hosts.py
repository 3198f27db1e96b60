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
    """The value of a header Host without its port, in lower case."""
    name, bracket, _ = host.lower().partition("]")
    return name.removeprefix("[") if bracket else host.lower().partition(":")[0]


def is_allowed(host: str, allowed: Collection[str]) -> bool:
    """Whether a request with this header is for the console."""
    return name_of(host) in allowed
