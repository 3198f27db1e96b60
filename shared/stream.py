"""The streams between receiver and writer: their keys, fields, shards and server-side scripts.

An entry has the fields `topic`, `payload` (the exact bytes) and `received_at` (ms since the epoch).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any
from zlib import crc32

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.connection import HiredisRespSerializer
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from shared.config import SHARDS_MAX, ConfigError, redacted
from shared.failure import describe
from shared.health import Component
from shared.metrics import Metrics
from shared.outage import outlast
from shared.watch import watch

GROUP = "writers"
FIELDS = (b"topic", b"payload", b"received_at")

SOCKET_TIMEOUT_S = 5.0
BLOCK_MS = 500  # how long a read waits for entries: well below the socket's timeout, and the wait at shutdown


def key_of(shard: int) -> str:
    """The stream of a shard; the braces are a Redis Cluster hash tag, so its companions share its slot."""
    return f"ingest:{{{shard}}}"


def ledger_of(shard: int) -> str:
    """The hash beside a stream that counts what left it.

    `stored` and `dead_lettered` are messages, `removed` what other hands took and an operator wrote off, `duplicates`
    rows that were there already; `looks` is how often a writer has looked at these figures to keep a copy of them.
    """
    return f"{key_of(shard)}:ledger"


def number_of(key: str) -> int:
    """The shard of a stream."""
    return int(key.removeprefix("ingest:{").removesuffix("}"))


def shard_of(topic: bytes, shards: int) -> int:
    """The shard of the device that a topic names, the same in every process and after every restart.

    A device is its tenant and its name, wherever it stands: a device that moves to another site keeps its
    shard. A topic that names no device is sharded by its whole text.
    """
    if shards == 1:
        return 0
    names = topic.split(b"/")
    device = names[1] + b"/" + names[3] if len(names) == 5 else topic
    return crc32(device) % shards


def connect(url: str) -> Redis:
    """A client that tells every failure at once.

    redis-py's silent retries are off: a retried append duplicates, and a retried read strands entries.
    XREADGROUP's reply is left as Redis gives it: [[stream, [[id, [field, value, …]], …]]]. Raises ConfigError for a
    parameter in the URL that redis-py doesn't know.
    """
    try:
        client = Redis.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
        )
        pool: Any = client.connection_pool
        pool.connection_class = type("Connection", (_PackedInC, pool.connection_class), {})
        pool.make_connection()  # connects nowhere yet: only looks at the URL's parameters
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigError(f"REDIS_URL={redacted(url)!r} is not allowed: {describe(error)}") from None
    client.set_response_callback("XREADGROUP", _as_it_is)
    return client


class _PackedInC:
    """Commands by hiredis's serializer, which redis-py keeps for its client without asyncio (docs/performance.md)."""

    def pack_command(self, *args: Any) -> list[bytes]:
        packed: list[bytes] = HiredisRespSerializer().pack(*args)
        return packed


def _as_it_is(response: Any, **_: Any) -> Any:
    return response


@contextmanager
def naming(*keys: str) -> Iterator[None]:
    """Put the keys in front of what Redis refuses: its errors, as of a key of another type, do not say which."""
    try:
        yield
    except ResponseError as error:
        raise type(error)(f"{', '.join(keys)}: {error}") from error


async def left_behind(client: Redis, shards: int) -> list[int]:
    """Shards beyond the first `shards` that hold entries, of a run with more of them; one round trip."""
    beyond = range(shards, SHARDS_MAX)
    pipeline = client.pipeline(transaction=False)
    for shard in beyond:
        pipeline.xlen(key_of(shard))
    lengths: list[Any] = await pipeline.execute(raise_on_error=False)
    # What isn't a stream, or not for this user to see, is none of ours.
    return [shard for shard, length in zip(beyond, lengths, strict=True) if isinstance(length, int) and length]


async def require(client: Redis, shards: int, commands: Iterable[str]) -> None:
    """Raise NoPermissionError unless this user may run the commands, on each shard.

    `{stream}` and `{ledger}` in them stand for the keys. Raises ResponseError before Redis 7.
    """
    refused = Scripts(client).refused
    for shard in range(shards):
        keys = {"stream": key_of(shard), "ledger": ledger_of(shard)}
        asked = [command.format(**keys) for command in commands]
        if denied := await refused(keys=[keys["stream"]], args=asked):
            names = ", ".join(command.decode() for command in denied)
            raise NoPermissionError(f"this user may not run: {names}; docs/security.md has what it needs")


async def watch_backlog(client: Redis, shards: Iterable[int], redis: Component, metrics: Metrics) -> None:
    """Keep `ingest_queue_size` and `ingest_longest_stream_size` true, and notice that Redis is away though nothing else
    asks it."""

    async def read() -> list[int]:
        return [await length_of(client, key_of(shard)) for shard in shards]

    async def look() -> None:
        lengths = await outlast(redis, read)
        metrics.queue_size.set(sum(lengths))
        metrics.longest_stream.set(max(lengths))

    await watch("the backlog", look, 1)


async def length_of(client: Redis, stream: str) -> int:
    """Entries in a stream, 0 where it isn't there."""
    with naming(stream):
        return int(await client.xlen(stream))


class Scripts:
    """The server-side scripts in `shared/lua/`; each file's head says what it takes and returns."""

    def __init__(self, client: Redis) -> None:
        self.adrift = _script(client, "adrift")
        self.append = _script(client, "append")
        self.claim = _script(client, "claim")
        self.create_group = _script(client, "create_group")
        self.failed = _script(client, "failed")
        self.leave = _script(client, "leave")
        self.look = _script(client, "look")
        self.pending = _script(client, "pending")
        self.present = _script(client, "present")
        self.refused = _script(client, "refused")
        self.renew = _script(client, "renew")
        self.settle = _script(client, "settle")
        self.write_off = _script(client, "write_off")


def _script(client: Redis, name: str) -> AsyncScript:
    script: Any = client.register_script(_source(name))
    return script  # type: ignore[no-any-return]


@cache
def _source(name: str) -> str:
    return (files("shared") / "lua" / f"{name}.lua").read_text()
