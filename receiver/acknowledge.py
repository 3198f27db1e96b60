"""PUBACKs in the order received, as MQTT demands [MQTT-4.6.0-2], whatever order the shards finish in."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from receiver.message import Message

Puback = Callable[[int, int], object]  # mid, QoS


class Acknowledgements:
    """The messages of one connection that are in a stream and wait for those received before them."""

    def __init__(self, puback: Puback) -> None:
        self._puback = puback
        self._next_ticket = 0
        self._done: list[tuple[int, int, int]] = []  # a heap of ticket, mid, QoS

    def appended(self, messages: Iterable[Message]) -> None:
        """These are in the stream: acknowledge them, and all that waited for them."""
        for message in messages:
            if message.qos:
                heapq.heappush(self._done, (message.ticket, message.mid, message.qos))
        while self._done and self._done[0][0] == self._next_ticket:
            _, mid, qos = heapq.heappop(self._done)
            self._next_ticket += 1
            self._puback(mid, qos)
