"""What passes between the broker and the receivers: which messages reached a receiver, and which it acknowledged.

This separates what a broker lost from what the pipeline lost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

_PUBLISH, _PUBACK = 3, 4


@dataclass
class Seen:
    """Payloads, over all connections."""

    delivered: dict[bytes, float] = field(default_factory=dict)  # when it last reached a receiver's socket (monotonic)
    acknowledged: set[bytes] = field(default_factory=set)  # a receiver's PUBACK was handed on to the broker


class Tap:
    """Reads along with one connection of MQTT 3.1.1."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._from_broker = bytearray()
        self._from_receiver = bytearray()
        self._in_flight: dict[bytes, bytes] = {}  # packet identifier: payload

    def to_client(self, data: bytes) -> None:
        """Bytes for the receiver."""
        self._from_broker += data
        for kind, body in _packets(self._from_broker):
            if kind >> 4 == _PUBLISH:
                self._published(qos=kind >> 1 & 3, body=body)

    def to_server(self, data: bytes) -> None:
        """Bytes for the broker."""
        self._from_receiver += data
        for kind, body in _packets(self._from_receiver):
            if kind >> 4 == _PUBACK and (payload := self._in_flight.pop(body[:2], None)) is not None:
                self._seen.acknowledged.add(payload)

    def _published(self, qos: int, body: bytes) -> None:
        at = 2 + int.from_bytes(body[:2], "big")  # behind the topic
        payload = body[at + 2 :] if qos else body[at:]
        self._seen.delivered[payload] = time.monotonic()
        if qos:
            self._in_flight[body[at : at + 2]] = payload


def _packets(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """The complete packets at the buffer's beginning, taken out of it: the fixed header's first byte, and the rest."""
    while (found := _remaining_length(buffer)) is not None:
        start, length = found
        if len(buffer) < start + length:
            return
        yield buffer[0], bytes(buffer[start : start + length])
        del buffer[: start + length]


def _remaining_length(buffer: bytearray) -> tuple[int, int] | None:
    """Where a packet's body begins and how long it is; None while that is not known yet."""
    length = 0
    for index, byte in enumerate(buffer[1:5]):
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return index + 2, length
    return None
