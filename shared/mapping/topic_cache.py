"""What is known of a topic, kept while there is room: a fleet has few topics, and each device repeats its own."""

from __future__ import annotations

from collections.abc import Callable
from random import sample
from typing import Generic, TypeVar

T = TypeVar("T")

TOPIC_BYTES_MAX = 1024  # of a topic that is kept


class TopicCache(Generic[T]):
    """Values by topic, of at most so many bytes. When it is full, a tenth of the values are dropped, whichever: of a
    fleet that has somewhat more topics than there is room for, most are found, in whatever order they come."""

    def __init__(self, bytes_max: int, size_of: Callable[[bytes, T], int]) -> None:
        self._bytes_max = bytes_max
        self._size_of = size_of
        self._values: dict[bytes, T] = {}
        self._bytes = 0
        self.get = self._values.get  # a topic's value, or None

    def keep(self, topic: bytes, value: T) -> None:
        """Remember a topic's value, unless the topic is too long."""
        if len(topic) > TOPIC_BYTES_MAX or topic in self._values:
            return
        self._values[topic] = value
        self._bytes += self._size_of(topic, value)
        while self._bytes > self._bytes_max:
            self._drop_some()

    def _drop_some(self) -> None:
        for topic in sample(list(self._values), (len(self._values) + 9) // 10):
            self._bytes -= self._size_of(topic, self._values.pop(topic))
