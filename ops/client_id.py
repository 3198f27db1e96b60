"""A receiver's client id out of the name of its container, which only DNS tells it.

Docker Compose numbers the replicas of a service: `traksense-receiver-2`. A container that replaces another has its
name, so it takes its session over; the host name inside is random.
"""

from __future__ import annotations

import socket

from dns.exception import DNSException
from dns.resolver import Resolver

from shared.config import ConfigError

LIFETIME_S = 10.0  # how long to ask again


def from_dns(resolver: Resolver | None = None) -> str:
    """The first label of what DNS calls this host's address.

    Raises ConfigError when it has no name for it.
    """
    address = socket.gethostbyname(socket.gethostname())
    try:
        names = (resolver or Resolver()).resolve_address(address, lifetime=LIFETIME_S)
    except DNSException as error:
        raise ConfigError(f"--client-id-from-dns: no name of {address}: {error}; set MQTT_CLIENT_ID instead") from None
    return str(names[0].target.labels[0].decode())
