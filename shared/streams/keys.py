"""The streams between receiver and writer: their keys, their fields, and the shard of a device.

An entry has the fields `topic`, `payload` (the exact bytes) and `received_at` (ms since the epoch), `retained` = 1
where MQTT's RETAIN flag was set: the broker has sent what it keeps of the topic; and `replayed` = 1 where it is a dead
letter again or an imported message, with the `received_at` of then. An imported message also has `import_id`: its
source, and its place there.
"""

from __future__ import annotations

from zlib import crc32

from traksense_ingest.shared.messages import device_of

GROUP = "writers"
FIELDS = (b"topic", b"payload", b"received_at")  # of every entry, in this order
RETAINED, REPLAYED, IMPORT_ID = b"retained", b"replayed", b"import_id"  # of some, behind the others


def key_of(shard: int) -> str:
    """The stream of a shard; the braces are a Redis Cluster hash tag, so its companions share its slot."""
    return f"ingest:{{{shard}}}"


def ledger_of(shard: int) -> str:
    """The hash beside a stream that counts what left it.

    `stored`, `dead_lettered` and `ignored` are messages, `removed` entries that another client removed and an operator
    wrote off, `duplicates` rows that were stored before; `revision` is how many snapshots of these figures were taken
    to keep a copy of them.
    """
    return f"{key_of(shard)}:ledger"


def imports_of(shard: int) -> str:
    """The hash next to a stream with a field for each import: how far it is in this stream."""
    return f"{key_of(shard)}:imports"


def number_of(key: str) -> int:
    """The shard of a stream."""
    return int(key.removeprefix("ingest:{").removesuffix("}"))


def shard_of(topic: bytes, shards: int) -> int:
    """The shard of the device that a topic names, the same in every process and after every restart.

    A device is its tenant and its name, at any site: a device that moves to another site keeps its
    shard. A topic that names no device is sharded by its whole text.
    """
    if shards == 1:
        return 0
    return crc32(device_of(topic)) % shards
