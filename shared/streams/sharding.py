"""Which stream a message goes to: the same for receivers, `dlq replay`, and after every restart."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

from traksense_ingest.shared.messages import is_v1
from traksense_ingest.shared.streams.keys import shard_of

ShardKey = Callable[[bytes], bytes | None]  # what of a topic decides; None: no mapping knows it

CACHE_BYTES = 32 * 1024 * 1024
TOPIC_BYTES = 150  # of memory for a topic besides its own bytes


class Sharding:
    """The shards of topics, remembered: a fleet has few, and each device repeats its own.

    The key of a topic is what its mapping says, which is decided by the topic alone; of one that no mapping knows it is
    its device by the grammar of version 1. Devices are spread over the shards by their keys' CRC-32.
    """

    def __init__(self, shards: int, key_of: ShardKey) -> None:
        self.shards = shards
        self._key_of = key_of
        self._known: dict[bytes, int] = {}
        self._bytes = 0

    def replace(self, key_of: ShardKey) -> None:
        """Other mappings: from now on their keys count."""
        self._key_of = key_of
        self._forget()

    def shard_of(self, topic: bytes) -> int:
        """The shard of a topic."""
        shard = self._known.get(topic)
        return self._learn(topic) if shard is None else shard

    def _learn(self, topic: bytes) -> int:
        key = None if is_v1(topic) else self._key_of(topic)
        shard = shard_of(topic, self.shards) if key is None else crc32(key) % self.shards
        self._bytes += len(topic) + TOPIC_BYTES
        if self._bytes > CACHE_BYTES:
            self._forget()
        self._known[topic] = shard
        return shard

    def _forget(self) -> None:
        self._known.clear()
        self._bytes = 0
