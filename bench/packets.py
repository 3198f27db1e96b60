"""MQTT packets as bytes, for the load generator and for tests.

They are encoded before the clock starts: a client library would cost more than what is measured.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from bench.shape import Message

V311, V5 = "3.1.1", "5"
LEVEL = {V311: 4, V5: 5}
DISCONNECT = b"\xe0\x00"
SESSION_EXPIRY_S = 3_600
KEEPALIVE_S = 60
IDS = 65_535  # packet ids, from 1


class Refused(Exception):
    """The broker answered with an error, or with what isn't MQTT; the message has its bytes."""


def connect(protocol: str, client_id: str, *, clean: bool) -> bytes:
    """CONNECT; without `clean` the session outlives the connection."""
    flags = 0x02 if clean else 0x00
    properties = b"" if clean else struct.pack("!BI", 0x11, SESSION_EXPIRY_S)
    body = _text(b"MQTT") + struct.pack("!BBH", LEVEL[protocol], flags, KEEPALIVE_S)
    return packet(0x10, body + _properties(protocol, properties) + _text(client_id.encode()))


def subscribe(protocol: str, topic_filter: str) -> bytes:
    """SUBSCRIBE at QoS 1, with packet id 1."""
    body = struct.pack("!H", 1) + _properties(protocol) + _text(topic_filter.encode()) + b"\x01"
    return packet(0x82, body)


def publish(
    topic: bytes, payload: bytes, mid: int = 1, qos: int = 1, flags: int = 0, properties: bytes | None = None
) -> bytes:
    """PUBLISH; `flags` are DUP (8) and RETAIN (1); MQTT 5 has properties, even if empty."""
    body = _text(topic) + (struct.pack("!H", mid) if qos else b"")
    body += b"" if properties is None else varint(len(properties)) + properties
    return packet(0x30 | qos << 1 | flags, body + payload)


def published(protocol: str, messages: Iterable[Message]) -> Iterator[bytes]:
    """A PUBLISH for each message of one connection; ids begin again after the last one."""
    properties = b"" if protocol == V5 else None
    for number, message in enumerate(messages):
        yield publish(message.topic, message.payload, number % IDS + 1, properties=properties)


def puback(*mids: int) -> bytes:
    """PUBACKs, one after the other."""
    return b"".join(packet(0x40, struct.pack("!H", mid)) for mid in mids)


def pubacks(data: bytes) -> tuple[int, bytes]:
    """How many PUBACKs these bytes are, and the beginning of one that isn't complete. Raises Refused for all else."""
    whole = len(data) // 4
    if data[::4].count(0x40) == len(data[::4]) and data[1 : 4 * whole : 4] == b"\x02" * whole:
        return whole, data[4 * whole :]
    return _parsed_pubacks(data)


def _parsed_pubacks(data: bytes) -> tuple[int, bytes]:
    """The same for PUBACKs that are longer: MQTT 5 may add a reason and properties."""
    count, at = 0, 0
    while len(data) >= at + 2 and len(data) >= at + 2 + data[at + 1]:
        reason = data[at + 4] if data[at + 1] > 2 else 0
        if data[at] != 0x40 or reason >= 0x80:
            raise Refused(f"no PUBACK: {data[at : at + 16].hex(' ')}")
        count, at = count + 1, at + 2 + data[at + 1]
    return count, data[at:]


def packet(first: int, body: bytes) -> bytes:
    """A packet: its first byte, the remaining length, the rest."""
    return bytes([first]) + varint(len(body)) + body


def varint(number: int) -> bytes:
    """A variable byte integer: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _text(text: bytes) -> bytes:
    return struct.pack("!H", len(text)) + text


def _properties(protocol: str, properties: bytes = b"") -> bytes:
    return varint(len(properties)) + properties if protocol == V5 else b""
