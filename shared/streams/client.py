"""The client of the streams: its connections, and the reads that both services make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from traksense_ingest.shared.config import SHARDS_MAX, redacted
from traksense_ingest.shared.database_url import Host
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.failure import describe
from traksense_ingest.shared.metrics import Metrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import retry_through_outage, watch
from traksense_ingest.shared.streams import connection as redis_connection
from traksense_ingest.shared.streams.connection import Server
from traksense_ingest.shared.streams.keys import imports_of, key_of, ledger_of, number_of
from traksense_ingest.shared.streams.nodes import Node
from traksense_ingest.shared.streams.redis_url import Kind, RedisUrl
from traksense_ingest.shared.streams.scripts import Scripts
from traksense_ingest.shared.streams.topology import Cluster, Sentinels

SOCKET_TIMEOUT_S = 5.0
BLOCK_MS = 500  # how long a read waits for entries: well below the socket's timeout, and the wait at shutdown


class Clients(ABC):
    """A client for each key."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @abstractmethod
    def of(self, key: str) -> Redis:
        """The client of a key."""

    @abstractmethod
    async def by_server(self, keys: Sequence[str]) -> list[tuple[Redis, Sequence[str]]]:
        """The keys that one server has, and a client that leads to it, for pipelines. Raises what redis-py raises."""

    async def nodes(self) -> Sequence[Node] | None:
        """The nodes of a cluster, None where there is none. Raises what redis-py raises."""
        return None

    @abstractmethod
    async def aclose(self) -> None:
        """Close all connections."""


class ServerClients(Clients):
    """The same client for all keys."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def of(self, key: str) -> Redis:  # noqa: ARG002
        """The client."""
        return self._client

    async def by_server(self, keys: Sequence[str]) -> list[tuple[Redis, Sequence[str]]]:
        """One server has them all."""
        return [(self._client, keys)]

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()


class ClusterClients(Clients):
    """A client for each slot of a Redis Cluster, which connects to the slot's master: WAITAOF confirms what one
    connection has written."""

    def __init__(self, url: str, cluster: Cluster) -> None:
        """`url` is one of a single server, whose host and port are replaced."""
        self._url = url
        self._cluster = cluster
        self._by_slot: dict[int, Redis] = {}

    def of(self, key: str) -> Redis:
        """The client of its slot."""
        slot = key_slot(key.encode())
        if slot not in self._by_slot:
            self._by_slot[slot] = _client(self._url, Server(Kind.CLUSTER, partial(self._cluster.locate, slot)))
        return self._by_slot[slot]

    async def by_server(self, keys: Sequence[str]) -> list[tuple[Redis, Sequence[str]]]:
        """By the cluster's answer; a slot that has moved since is an error of the pipeline."""
        found: dict[Host, list[str]] = defaultdict(list)
        for key in keys:
            found[await self._cluster.locate(key_slot(key.encode()))].append(key)
        return [(self.of(some[0]), some) for some in found.values()]

    async def nodes(self) -> Sequence[Node] | None:
        """All of them."""
        return await self._cluster.nodes()

    async def aclose(self) -> None:
        """Close the connections of all of them."""
        for client in self._by_slot.values():
            await client.aclose()


def connect(url: str) -> Clients:
    """Clients that report every failure at once.

    redis-py's silent retries are off: a retried append duplicates, and a retried read strands entries.
    XREADGROUP's reply is left as Redis gives it: [[stream, [[id, [field, value, …]], …]]]. Raises
    ConfigurationError for a parameter in the URL that redis-py doesn't know.
    """
    try:
        parsed = RedisUrl.parse(url)
        pool: Any = _without_retries(parsed.server).connection_pool
        pool.make_connection()  # does not connect: only checks the URL's parameters
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigurationError(f"REDIS_URL={redacted(url)!r} is not allowed: {describe(error)}") from None
    plain, options = pool.connection_class, pool.connection_kwargs
    match parsed.kind:
        case Kind.SERVER:
            return ServerClients(_client(parsed.server, Server()))
        case Kind.CLUSTER:
            return ClusterClients(parsed.server, Cluster(parsed.hosts, plain, options))
        case Kind.SENTINEL:
            options = {**options, "username": parsed.sentinel_user, "password": parsed.sentinel_password}
            sentinels = Sentinels(parsed.hosts, parsed.service, plain, options)
            return ServerClients(_client(parsed.server, Server(Kind.SENTINEL, sentinels.locate)))


def _client(url: str, server: Server) -> Redis:
    client = _without_retries(url)
    redis_connection.use(client, server)
    client.set_response_callback("XREADGROUP", _raw_reply)
    return client


def _without_retries(url: str) -> Redis:
    return Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
    )


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


async def left_behind(clients: Clients, shards: int) -> list[int]:
    """Shards beyond the first `shards` that hold entries, of a run with more of them; one round trip to each server."""
    found = []
    for client, streams in await clients.by_server([key_of(shard) for shard in range(shards, SHARDS_MAX)]):
        pipeline = client.pipeline(transaction=False)
        for stream in streams:
            pipeline.xlen(stream)
        lengths: list[Any] = await pipeline.execute(raise_on_error=False)
        # Keys of another type, or that this user may not read, are not ours.
        found += [key for key, length in zip(streams, lengths, strict=True) if isinstance(length, int) and length]
    return sorted(map(number_of, found))


async def require(clients: Clients, shards: int, commands: Iterable[str]) -> None:
    """Raise NoPermissionError unless this user may run the commands, on each shard.

    `{stream}`, `{ledger}` and `{imports}` in them stand for the keys. Raises ResponseError before Redis 7.
    """
    for shard in range(shards):
        denied_commands = Scripts.of(clients.of(key_of(shard))).denied_commands
        keys = {"stream": key_of(shard), "ledger": ledger_of(shard), "imports": imports_of(shard)}
        required = [command.format(**keys) for command in commands]
        if denied := await denied_commands(keys=[keys["stream"]], args=required):
            names = ", ".join(command.decode() for command in denied)
            raise NoPermissionError(f"this user may not run: {names}; docs/security.md has what it needs")


async def watch_backlog(clients: Clients, shards: Iterable[int], redis: Component, metrics: Metrics) -> None:
    """Keep `ingest_queue_size` and `ingest_longest_stream_size` up to date, and notice that Redis is unreachable though
    nothing else uses it. For a user that may not take snapshots."""

    async def read() -> list[int]:
        return [await length_of(clients.of(key), key) for key in map(key_of, shards)]

    async def set_gauges() -> None:
        lengths = await retry_through_outage(redis, read)
        metrics.queue_size.set(sum(lengths))
        metrics.longest_stream.set(max(lengths))

    await watch("the backlog", set_gauges, 1)


async def length_of(client: Redis, stream: str) -> int:
    """Entries in a stream, 0 if it doesn't exist."""
    with errors_name_key(stream):
        return int(await client.xlen(stream))
