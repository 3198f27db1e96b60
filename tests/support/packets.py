"""MQTT packets as bytes, and a socket that gives and takes them in pieces."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


def varint(value: int) -> bytes:
    """A variable byte integer."""
    digits = bytearray()
    while True:
        value, digit = divmod(value, 128)
        digits.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(digits)


def packet(first: int, body: bytes) -> bytes:
    """A packet: flags, length, the rest."""
    return bytes([first]) + varint(len(body)) + body


def publish(
    topic: bytes, payload: bytes, mid: int = 1, qos: int = 1, flags: int = 0, properties: bytes | None = None
) -> bytes:
    """A PUBLISH; `flags` are DUP (8) and RETAIN (1); MQTT 5 has properties, if only empty ones."""
    body = len(topic).to_bytes(2, "big") + topic
    body += mid.to_bytes(2, "big") if qos else b""
    body += b"" if properties is None else varint(len(properties)) + properties
    return packet(0x30 | qos << 1 | flags, body + payload)


def puback(*mids: int) -> bytes:
    """PUBACKs, one behind the other."""
    return b"".join(b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids)


class Pieces:
    """A socket that has some pieces to read, nothing between two of them, and takes what it is sent in portions."""

    def __init__(self, pieces: Iterable[bytes], portions: Iterable[int] = ()) -> None:
        self.pieces = deque(pieces)
        self.sent = b""
        self.most = 0  # bytes that were read in one turn
        self._portions = deque(portions)
        self._read = 0

    def recv(self, size: int) -> bytes:
        """Some bytes of the piece that is due; BlockingIOError at its end."""
        if not self.pieces:
            return b""
        data, rest = self.pieces[0][:size], self.pieces[0][size:]
        self.pieces[0] = rest
        if not data:
            raise BlockingIOError
        self._read += len(data)
        self.most = max(self.most, self._read)
        return data

    def turn(self) -> None:
        """The event loop's next turn: a piece that was read makes place for the next one."""
        self._read = 0
        if self.pieces and not self.pieces[0]:
            self.pieces.popleft()

    def send(self, data: bytes) -> int:
        """Take the portion that is due: 0 is none for now, all of it when no portions are left."""
        size = self._portions.popleft() if self._portions else len(data)
        if size == 0:
            raise BlockingIOError
        self.sent += bytes(data[:size])
        return len(data[:size])

    def close(self) -> None:
        """As a socket."""

    def fileno(self) -> int:
        """As a socket."""
        return -1
