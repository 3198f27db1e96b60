"""PUBACKs in the order received, as MQTT demands [MQTT-4.6.0-2], whatever order the shards finish in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from traksense_ingest.receiver.message import Message

Puback = Callable[[Sequence[Message]], object]


class Acknowledgements:
    """The messages of one connection that are in a stream and wait for those received before them."""

    def __init__(self, puback: Puback) -> None:
        self._puback = puback
        self._next_ticket = 0
        self._waiting: dict[int, Message] = {}
        self._is_lost = False

    def appended(self, messages: Iterable[Message]) -> None:
        """These are in the stream: acknowledge them, and all that waited for them."""
        self._waiting.update((message.ticket, message) for message in messages if message.qos)
        if (due := self._take_due()) and not self._is_lost:
            self._puback(due)

    def connection_lost(self) -> None:
        """Nothing can be acknowledged any more: the broker sends the messages again, over another connection."""
        self._is_lost = True

    def _take_due(self) -> list[Message]:
        due = []
        while message := self._waiting.pop(self._next_ticket, None):
            due.append(message)
            self._next_ticket += 1
        return due
