"""Whether the broker takes a client: CONNECT and DISCONNECT, and nothing in between."""

from __future__ import annotations

import math
import secrets

from shared import mqtt
from shared.config import Settings


async def greet(settings: Settings, patience_s: float) -> None:
    """Connect and leave; raises what aiomqtt raises.

    The client id is a random one and the session ends with the connection: a receiver's is left alone.
    """
    name = f"status-{secrets.token_hex(6)}"  # no more than the 23 characters of MQTT 3.1
    client = mqtt.client(settings, name, timeout=patience_s, keepalive=math.ceil(patience_s))
    # paho connects in a thread, which a program that ends waits for. Its TLS handshake may take one keepalive.
    client._client.connect_timeout = patience_s
    async with client:
        """It has taken us."""
