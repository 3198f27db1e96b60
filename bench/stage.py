"""What a scenario works with: its servers, the services that it starts on them, and what both cost."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from bench.process import Halves, cpu_seconds, halves, pin
from bench.servers import Servers
from bench.shape import Shape, with_repetitions
from traksense_ingest.ops.embedded import Server, free_port
from traksense_ingest.ops.up.processes import Receiver, Writer
from traksense_ingest.shared.streams import client as stream
from traksense_ingest.shared.streams.client import Clients
from traksense_ingest.shared.streams.heartbeat import WRITERS_KEY
from traksense_ingest.shared.streams.keys import GROUP, key_of, ledger_of, shard_of
from traksense_ingest.shared.streams.scripts import Scripts, append_arguments

TABLES = "ts_measure, cmd_ack, command, device_event, device, device_point, ingest_errors, stream_ledger"
COLUMNS = ("tenant_id", "device_id", "point_id", "ts", "v_num", "v_bool", "v_text", "unit", "meta")
SHARDS_MAX = 6
COPY_ROWS = 8_000  # at once: a writer's batch of 800 messages of 10 points
APPEND_MESSAGES = 500  # at once, as a receiver does
POLL_S = 0.01  # a poll costs some 0.2 ms
START_S = 180.0  # on a machine that is busy with other work
STILL_S = 0.5  # no change for so long: perhaps it has ended
STUCK_S = 60.0  # no change for so long: something is wrong

_T = TypeVar("_T")
_ServiceT = TypeVar("_ServiceT", Receiver, Writer)


class Stuck(Exception):
    """What was waited for did not happen; the message has the end of the services' logs."""


class Stage:
    """The servers of a scenario, with clients."""

    def __init__(
        self, servers: Servers, clients: Clients, database: Any, directory: Path, cores: Halves | None = None
    ) -> None:
        self.servers = servers
        self.database = database
        self.directory = directory
        self._clients = clients
        self._cores = cores
        self._numbers = itertools.count()
        self._grouped: dict[int, list[tuple[Redis, Sequence[str]]]] = {}  # by how many shards
        self._aside: list[str] = []

    @classmethod
    @asynccontextmanager
    async def opened(cls, servers: Servers, directory: Path, *, is_pinned: bool = False) -> AsyncIterator[Self]:
        """A stage on servers that run; `is_pinned`: on one half of the cores, and services on the other."""
        cores = halves() if is_pinned else None
        if cores:
            pin(servers.pids.values(), cores.servers)
        clients = stream.connect(servers.redis_url)
        database = await asyncpg.connect(servers.database_url, command_timeout=None)
        try:
            yield cls(servers, clients, database, directory, cores)
        finally:
            await database.close()
            await clients.aclose()

    def receiver(self, **variables: object) -> Receiver:
        """A receiver that isn't started yet."""
        return self._service(Receiver, variables)

    def writer(self, **variables: object) -> Writer:
        """A writer that isn't started yet."""
        return self._service(Writer, variables)

    def pin(self, *services: Server) -> None:
        """Services that have started, on their half of the cores where the stage is pinned."""
        if self._cores:
            pin([service.pid for service in services if service.pid], self._cores.services)

    def environment(self, variables: Mapping[str, object]) -> dict[str, str]:
        """What a child process needs to find the servers, and our packages."""
        protocol = str(variables.get("MQTT_PROTOCOL", "3.1.1"))
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "MQTT_URL": self.servers.brokers[protocol],
            "REDIS_URL": self.servers.redis_url,
            "DATABASE_URL": self.servers.database_url,
            "METRICS_HOST": "127.0.0.1",
            "LOG_LEVEL": "WARNING",
            **{name: str(value) for name, value in variables.items()},
        }

    async def clear(self) -> None:
        """Empty tables and streams, and a checkpoint done. Nothing may be writing."""
        await self.database.execute(f"TRUNCATE {TABLES}")
        await self.clear_streams()
        await self.settle_down()

    async def clear_streams(self) -> None:
        """No streams, no ledgers of them, and no heartbeats of writers that were killed."""
        await self._clients.of(WRITERS_KEY).delete(WRITERS_KEY)
        for shard in range(SHARDS_MAX):
            key = key_of(shard)
            await self._clients.of(key).delete(key, ledger_of(shard), _aside(key))
        await self.database.execute("TRUNCATE stream_ledger")

    async def settle_down(self) -> None:
        """A checkpoint now, if permitted, is one less in the middle of a measurement; so is a rewrite of Redis's
        file."""
        with suppress(asyncpg.InsufficientPrivilegeError):
            await self.database.execute("CHECKPOINT")
        if any(role.startswith("redis") for role in self.servers.pids):  # not of a Redis of your own
            for client, _ in await self._by_server(SHARDS_MAX):
                await _rewrite_file(client)

    async def fill(
        self, shape: Shape, shards: int = 1, batch: int = APPEND_MESSAGES, again: Collection[int] = ()
    ) -> None:
        """All messages into the streams, as a receiver appends them; so many at once. Those with the numbers `again`
        come twice."""
        received_at = int(time.time() * 1000)
        batches: dict[int, list[bytes | int]] = {shard: [] for shard in range(shards)}

        async def flush(shard: int) -> None:
            key, words = key_of(shard), batches[shard]
            append = Scripts.of(self._clients.of(key)).append
            appended, _ = await append(keys=[key], args=append_arguments(2 * shape.messages, words))
            assert 3 * appended == len(words)
            batches[shard] = []

        for topic, payload in with_repetitions(shape, again):
            shard = shard_of(topic, shards)
            batches[shard] += (topic, payload, received_at)
            if len(batches[shard]) == 3 * batch:
                await flush(shard)
        for shard in [shard for shard, words in batches.items() if words]:
            await flush(shard)

    async def set_aside(self, shards: int = 1) -> None:
        """Hide what is in the streams from services, until `put_back`."""
        self._aside = []
        for key in map(key_of, range(shards)):
            client = self._clients.of(key)
            if await client.exists(key):
                await client.rename(key, _aside(key))
                await Scripts.of(client).create_group(keys=[_aside(key)], args=[GROUP])
                self._aside.append(key)

    async def put_back(self) -> None:
        """Make it the streams again, all at once; those in its place must be empty. Writers that wait get entries."""
        for key in self._aside:
            await _continue(self._clients.of(key), key)
        await asyncio.gather(*(self._clients.of(key).rename(_aside(key), key) for key in self._aside))

    async def copy(self, shape: Shape) -> None:
        """All rows straight into the table."""
        per_batch = max(1, COPY_ROWS // shape.points)
        for first in range(0, shape.messages, per_batch):
            numbers = range(first, min(first + per_batch, shape.messages))
            await copy_rows(self.database, list(shape.records(numbers)))

    async def backlog(self, shards: int = 1) -> int:
        """Entries in the streams, by one request to each server."""
        entries = 0
        for client, keys in await self._by_server(shards):
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.xlen(key)
            entries += sum(await pipeline.execute())
        return entries

    async def log_position(self) -> int:
        """Bytes of write-ahead log so far."""
        return int(await self.database.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))

    async def settled(self) -> int:
        """Messages of the first stream that writers have stored, by its ledger."""
        stored: Any = await self._clients.of(key_of(0)).hget(ledger_of(0), "stored")
        return int(stored or 0)

    async def rows(self) -> int:
        """Rows in the table."""
        return int(await self.database.fetchval("SELECT count(*) FROM ts_measure"))

    def cpu(self, **services: Sequence[Server]) -> dict[str, float]:
        """CPU seconds so far: of each server that was started here, and of the services of a role together; 0 before
        they start."""
        pids = {f"{role} {number}": each.pid for role, some in services.items() for number, each in enumerate(some)}
        seconds = cpu_seconds({**self.servers.pids, **{name: pid for name, pid in pids.items() if pid}})
        of_services = dict.fromkeys(services, 0.0)
        for name in pids:
            of_services[name.partition(" ")[0]] += seconds.pop(name, 0.0)
        return of_services | seconds

    async def _by_server(self, shards: int) -> list[tuple[Redis, Sequence[str]]]:
        """Streams by the server that has them, which stays the same."""
        if shards not in self._grouped:
            self._grouped[shards] = await self._clients.by_server([key_of(shard) for shard in range(shards)])
        return self._grouped[shards]

    def _service(self, kind: type[_ServiceT], variables: Mapping[str, object]) -> _ServiceT:
        directory = self.directory / f"{kind.name}-{next(self._numbers)}"
        service = kind(directory, free_port(), self.environment(variables))
        service.start_timeout = START_S
        return service


async def _rewrite_file(client: Redis) -> None:
    """Return when the append-only file is as short as can be."""
    with suppress(ResponseError):  # it is being rewritten
        await client.bgrewriteaof()
    state: Any = {"aof_rewrite_in_progress": 1}
    while state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"]:
        await asyncio.sleep(POLL_S)
        state = await client.info("persistence")


def _aside(key: str) -> str:
    """Where a stream is set aside: in the same slot of a Redis Cluster."""
    return f"{key}:aside"


async def _continue(client: Redis, key: str) -> None:
    """Let a stream that was set aside count from where the one in its place is, so that writers find nothing lost."""
    present, aside = [await client.xinfo_stream(name) for name in (key, _aside(key))]
    last = max((info["last-generated-id"] for info in (present, aside)), key=lambda id_: [*map(int, id_.split(b"-"))])
    added = ("ENTRIESADDED", present["entries-added"] + aside["entries-added"], "MAXDELETEDID", last)
    await client.execute_command("XSETID", _aside(key), last, *added)  # type: ignore[no-untyped-call]


async def copy_rows(connection: Any, rows: list[Any]) -> None:
    """A batch of rows by COPY, in a transaction of its own."""
    await connection.copy_records_to_table("ts_measure", records=rows, columns=COLUMNS)


async def reached(measure: Callable[[], Any], enough: Callable[[int], bool], *services: Server) -> int:
    """Wait until a number that changes all the time is enough; returns it. Raises Stuck when it stands still."""
    last, since = -1, time.monotonic()
    while not enough(number := int(await measure())):
        if number != last:
            last, since = number, time.monotonic()
        elif time.monotonic() - since > STUCK_S or any(not service.running for service in services):
            logs = "\n".join(f"{service.name}: {service.log_tail()}" for service in services)
            raise Stuck(f"it stopped at {number}\n{logs}")
        await asyncio.sleep(POLL_S)
    return number


async def still(
    measure: Callable[[], Awaitable[Any]], is_done: Callable[[], Awaitable[bool]], *services: Server
) -> float:
    """Wait until a number has stood still for STILL_S and all is done; returns when it stood still. Raises Stuck."""
    last, since = None, time.perf_counter()
    while True:
        if (number := await measure()) != last:
            last, since = number, time.perf_counter()
        elif (waited := time.perf_counter() - since) > STILL_S:
            if await is_done():
                return since
            if waited > STUCK_S or any(not service.running for service in services):
                raise Stuck("\n".join(f"{service.name}: {service.log_tail()}" for service in services))
        await asyncio.sleep(POLL_S)


async def just_before(measure: Callable[[], Any], has_started: Callable[[int], bool], snapshot: Callable[[], _T]) -> _T:
    """The last snapshot that was taken before a number started to change. Raises Stuck when it never does."""
    before, deadline = snapshot(), time.monotonic() + STUCK_S
    while True:
        latest = snapshot()
        if has_started(int(await measure())):
            return before
        if time.monotonic() > deadline:
            raise Stuck("nothing started")
        before = latest
        await asyncio.sleep(POLL_S)


@asynccontextmanager
async def started(*services: Server) -> AsyncIterator[None]:
    """The services run for as long as the block."""
    try:
        for service in services:
            await asyncio.to_thread(service.start)
        yield
    finally:
        for service in services:
            await asyncio.to_thread(service.stop)
