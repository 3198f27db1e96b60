"""What a scenario works with: its servers, the services that it starts on them, and what both cost."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import asyncpg
from redis.asyncio import Redis

from bench.process import cpu_seconds
from bench.servers import Servers
from bench.shape import Shape
from traksense_ingest.ops.embedded import Server, free_port
from traksense_ingest.ops.up.processes import Receiver, Writer
from traksense_ingest.shared.streams import client as stream
from traksense_ingest.shared.streams.heartbeat import WRITERS_KEY
from traksense_ingest.shared.streams.keys import key_of, ledger_of, shard_of
from traksense_ingest.shared.streams.scripts import Scripts, append_arguments

TABLES = "ts_measure, cmd_ack, device_event, device, ingest_errors, stream_ledger"
COLUMNS = ("tenant_id", "device_id", "point_id", "ts", "v_num", "v_bool", "v_text", "unit", "meta")
SHARDS_MAX = 4
COPY_ROWS = 8_000  # at once: a writer's batch of 800 messages of 10 points
APPEND_MESSAGES = 500  # at once, as a receiver does
POLL_S = 0.01  # a poll costs some 0.2 ms
STUCK_S = 60.0  # no change for so long: something is wrong

_T = TypeVar("_T")
_ServiceT = TypeVar("_ServiceT", Receiver, Writer)


class Stuck(Exception):
    """What was waited for did not happen; the message has the end of the services' logs."""


class Stage:
    """The servers of a scenario, with clients."""

    def __init__(self, servers: Servers, redis: Redis, database: Any, directory: Path) -> None:
        self.servers = servers
        self.redis = redis
        self.database = database
        self._directory = directory
        self._numbers = itertools.count()

    @classmethod
    @asynccontextmanager
    async def opened(cls, servers: Servers, directory: Path) -> AsyncIterator[Self]:
        """A stage on servers that run."""
        clients = stream.connect(servers.redis_url)
        database = await asyncpg.connect(servers.database_url, command_timeout=None)
        try:
            yield cls(servers, clients.of(key_of(0)), database, directory)
        finally:
            await database.close()
            await clients.aclose()

    def receiver(self, **variables: object) -> Receiver:
        """A receiver that isn't started yet."""
        return self._service(Receiver, variables)

    def writer(self, **variables: object) -> Writer:
        """A writer that isn't started yet."""
        return self._service(Writer, variables)

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
        await self.redis.delete(
            WRITERS_KEY, *(key(shard) for shard in range(SHARDS_MAX) for key in (key_of, ledger_of))
        )
        await self.database.execute("TRUNCATE stream_ledger")

    async def settle_down(self) -> None:
        """A checkpoint now, if permitted, is one less in the middle of a measurement."""
        with suppress(asyncpg.InsufficientPrivilegeError):
            await self.database.execute("CHECKPOINT")

    async def fill(self, shape: Shape, shards: int = 1) -> None:
        """All messages into the streams, as a receiver appends them."""
        append = Scripts.of(self.redis).append
        received_at = int(time.time() * 1000)
        batches: dict[int, list[bytes | int]] = {shard: [] for shard in range(shards)}

        async def flush(shard: int) -> None:
            batch, batches[shard] = batches[shard], []
            appended, _ = await append(keys=[key_of(shard)], args=append_arguments(shape.messages, batch))
            assert 3 * appended == len(batch)

        for topic, payload in shape.encoded(range(shape.messages)):
            shard = shard_of(topic, shards)
            batches[shard] += (topic, payload, received_at)
            if len(batches[shard]) == 3 * APPEND_MESSAGES:
                await flush(shard)
        for shard in [shard for shard, batch in batches.items() if batch]:
            await flush(shard)

    async def copy(self, shape: Shape) -> None:
        """All rows straight into the table."""
        per_batch = max(1, COPY_ROWS // shape.points)
        for first in range(0, shape.messages, per_batch):
            numbers = range(first, min(first + per_batch, shape.messages))
            await copy_rows(self.database, list(shape.records(numbers)))

    async def backlog(self, shards: int = 1) -> int:
        """Entries in the streams."""
        return sum([int(await self.redis.xlen(key_of(shard))) for shard in range(shards)])

    async def settled(self) -> int:
        """Messages of the first stream that writers have stored, by its ledger."""
        stored: Any = await self.redis.hget(ledger_of(0), "stored")
        return int(stored or 0)

    async def rows(self) -> int:
        """Rows in the table."""
        return int(await self.database.fetchval("SELECT count(*) FROM ts_measure"))

    def cpu(self, **services: Server) -> dict[str, float]:
        """CPU seconds so far: of the servers that were started here, and of these services; 0 before they start."""
        pids = {name: service.pid for name, service in services.items() if service.pid}
        return dict.fromkeys(services, 0.0) | cpu_seconds({**self.servers.pids, **pids})

    def _service(self, kind: type[_ServiceT], variables: Mapping[str, object]) -> _ServiceT:
        directory = self._directory / f"{kind.name}-{next(self._numbers)}"
        return kind(directory, free_port(), self.environment(variables))


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
