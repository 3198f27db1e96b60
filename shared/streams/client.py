"""The client of the streams: its connections, and the reads that both services make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from traksense_ingest.shared.config import SHARDS_MAX, redacted
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.failure import describe
from traksense_ingest.shared.metrics import Metrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import retry_through_outage, watch
from traksense_ingest.shared.streams import connection as redis_connection
from traksense_ingest.shared.streams.keys import key_of, ledger_of
from traksense_ingest.shared.streams.scripts import Scripts

SOCKET_TIMEOUT_S = 5.0
BLOCK_MS = 500  # how long a read waits for entries: well below the socket's timeout, and the wait at shutdown


def connect(url: str) -> Redis:
    """A client that reports every failure at once.

    redis-py's silent retries are off: a retried append duplicates, and a retried read strands entries.
    XREADGROUP's reply is left as Redis gives it: [[stream, [[id, [field, value, …]], …]]]. Raises
    ConfigurationError for a parameter in the URL that redis-py doesn't know.
    """
    try:
        client = Redis.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
        )
        redis_connection.use(client)
        pool: Any = client.connection_pool
        pool.make_connection()  # does not connect: only checks the URL's parameters
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigurationError(f"REDIS_URL={redacted(url)!r} is not allowed: {describe(error)}") from None
    client.set_response_callback("XREADGROUP", _raw_reply)
    return client


def _raw_reply(response: Any, **_: Any) -> Any:
    return response


@contextmanager
def errors_name_key(*keys: str) -> Iterator[None]:
    """Add the keys to Redis's errors, which do not name them, as with a key of another type."""
    try:
        yield
    except ResponseError as error:
        error.add_note(", ".join(keys))
        raise


async def left_behind(client: Redis, shards: int) -> list[int]:
    """Shards beyond the first `shards` that hold entries, of a run with more of them; one round trip."""
    beyond = range(shards, SHARDS_MAX)
    pipeline = client.pipeline(transaction=False)
    for shard in beyond:
        pipeline.xlen(key_of(shard))
    lengths: list[Any] = await pipeline.execute(raise_on_error=False)
    # Keys of another type, or that this user may not read, are not ours.
    return [shard for shard, length in zip(beyond, lengths, strict=True) if isinstance(length, int) and length]


async def require(client: Redis, shards: int, commands: Iterable[str]) -> None:
    """Raise NoPermissionError unless this user may run the commands, on each shard.

    `{stream}` and `{ledger}` in them stand for the keys. Raises ResponseError before Redis 7.
    """
    denied_commands = Scripts.of(client).denied_commands
    for shard in range(shards):
        keys = {"stream": key_of(shard), "ledger": ledger_of(shard)}
        required = [command.format(**keys) for command in commands]
        if denied := await denied_commands(keys=[keys["stream"]], args=required):
            names = ", ".join(command.decode() for command in denied)
            raise NoPermissionError(f"this user may not run: {names}; docs/security.md has what it needs")


async def watch_backlog(client: Redis, shards: Iterable[int], redis: Component, metrics: Metrics) -> None:
    """Keep `ingest_queue_size` and `ingest_longest_stream_size` up to date, and notice that Redis is unreachable though
    nothing else uses it. For a user that may not take snapshots."""

    async def read() -> list[int]:
        return [await length_of(client, key_of(shard)) for shard in shards]

    async def set_gauges() -> None:
        lengths = await retry_through_outage(redis, read)
        metrics.queue_size.set(sum(lengths))
        metrics.longest_stream.set(max(lengths))

    await watch("the backlog", set_gauges, 1)


async def length_of(client: Redis, stream: str) -> int:
    """Entries in a stream, 0 if it doesn't exist."""
    with errors_name_key(stream):
        return int(await client.xlen(stream))
