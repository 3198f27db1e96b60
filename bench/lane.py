"""One connection of the load generator: packets out, as many as the window allows, PUBACKs in."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from itertools import accumulate
from urllib.parse import urlsplit

from bench import packets

TIMEOUT_S = 10.0
RECEIVE_BYTES = 1 << 16


class Lane:
    """Sends its packets in order. It never waits: `turn` does what can be done now."""

    def __init__(self, connection: socket.socket, ready: Iterable[bytes], window: int) -> None:
        encoded = list(ready)
        self._ends = [0, *accumulate(map(len, encoded))]  # of the first n packets, in bytes
        self._bytes = memoryview(b"".join(encoded))
        self._connection = connection
        self._window = window
        self._sent = 0  # bytes
        self._rest = b""
        self.acknowledged = 0
        connection.setblocking(False)

    @property
    def count(self) -> int:
        """Packets in all."""
        return len(self._ends) - 1

    def turn(self, due: int) -> None:
        """Count what was acknowledged, and send what is due and fits into the window. Raises Refused."""
        with suppress(BlockingIOError):
            self._receive()
        end = self._ends[min(due, self.acknowledged + self._window, self.count)]
        with suppress(BlockingIOError):
            if self._sent < end:
                self._sent += self._connection.send(self._bytes[self._sent : end])

    def close(self) -> None:
        """Disconnect; every packet was acknowledged."""
        self._connection.setblocking(True)
        self._connection.sendall(packets.DISCONNECT)
        self._connection.close()

    def _receive(self) -> None:
        data = self._connection.recv(RECEIVE_BYTES)
        if not data:
            raise packets.Refused("the broker hung up")
        count, self._rest = packets.pubacks(self._rest + data)
        self.acknowledged += count


def connected(url: str, protocol: str, client_id: str, *, clean: bool = True) -> socket.socket:
    """A connection to a broker without TLS; raises Refused, or OSError where nothing listens."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "localhost", parts.port or 1883), timeout=TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(packets.connect(protocol, client_id, clean=clean))
    connack = connection.recv(1024)
    if len(connack) < 4 or connack[0] != 0x20 or connack[3] != 0:
        raise packets.Refused(f"CONNACK: {connack.hex(' ')}")
    return connection


def end_session(url: str, protocol: str, client_id: str) -> None:
    """Make the broker delete a client's session, whose messages would be part of the next measurement."""
    connected(url, protocol, client_id).close()


def leave_session(url: str, protocol: str, client_id: str, topic_filter: str) -> None:
    """Create a session that keeps all that is published from now on, for a client that connects later."""
    connection = connected(url, protocol, client_id, clean=False)
    connection.sendall(packets.subscribe(protocol, topic_filter))
    suback = connection.recv(1024)
    if not suback or suback[0] != 0x90 or suback[-1] >= 0x80:
        raise packets.Refused(f"SUBACK: {suback.hex(' ')}")
    connection.sendall(packets.DISCONNECT)
    connection.close()
