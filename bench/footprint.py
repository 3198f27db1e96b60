"""What a message takes on its way: the bytes that docs/operations.md calculates with.

python -m bench.footprint --services debian
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import click
from redis.asyncio import Redis

from bench.stage import reached, started
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.embedded.debian import DEBIAN, EMBEDDED, Services, missing
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.ops.simulate.device import Device
from traksense_ingest.ops.simulate.messages import Message, encode
from traksense_ingest.ops.up.processes import Writer
from traksense_ingest.shared.streams.client import connect
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.shared.streams.scripts import Scripts, append_arguments

POINTS = 10
DEVICES = 200
INTERVAL = timedelta(seconds=10)  # between two messages of a device
BATCH = 500

_TABLE = """
SELECT sum(pg_total_relation_size(part))::bigint AS total, sum(pg_indexes_size(part))::bigint AS indexes,
    (SELECT count(*) FROM ts_measure) AS rows
FROM (
    SELECT 'ts_measure'::regclass AS part
    UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'ts_measure'::regclass  -- chunks
) AS parts
"""

_WAL = "SELECT pg_current_wal_insert_lsn() - '0/0' AS bytes"


@dataclass(frozen=True)
class Footprint:
    """Bytes, each an average."""

    payload: float  # what a device sent
    entry: float  # Redis's memory, as it grows by an entry
    usage: float  # the same, as MEMORY USAGE says it
    file: float  # the append-only file, when an entry comes
    settled: float  # … and when it is settled
    row: float  # the table with its index
    index: float  # of that, the index
    wal: float  # write-ahead log, for a row

    def __str__(self) -> str:
        return "\n".join(f"{field.name:8} {getattr(self, field.name):6.0f} bytes" for field in fields(self))


async def measure(services: Services, directory: Path, count: int) -> Footprint:
    """Put so many messages through a stream and a writer on servers of their own."""
    postgres = services.postgres_type(directory / "postgres", free_port())
    with services.redis(directory) as redis, postgres as database:
        await migrate(database.url)
        async with connect(redis.url) as clients:
            client = clients.of(key_of(0))
            sent = list(islice(messages(), count))
            empty, (memory, file) = await in_redis(client), await append(client, sent)
            usage = int(await client.memory_usage(key_of(0), samples=0) or 0)
            wal = await store(client, redis.url, database.url, directory)
            _, settled = await in_redis(client)
        table = await ask(database.url, _TABLE)
    return Footprint(
        payload=sum(len(message.payload) for message in sent) / count,
        entry=(memory - empty[0]) / count,
        usage=usage / count,
        file=(file - empty[1]) / count,
        settled=(settled - file) / count,
        row=table["total"] / table["rows"],
        index=table["indexes"] / table["rows"],
        wal=wal / table["rows"],
    )


def messages() -> Iterator[Message]:
    """What devices with ten points publish, in turn."""
    random, start = Random(7), datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    fleet = [Device(number, "acme", random) for number in range(DEVICES)]
    for index, device in enumerate(cycle(fleet)):
        ts = start + index // DEVICES * INTERVAL
        device.step(INTERVAL.total_seconds())
        body, points = device.telemetry(ts)
        if points == POINTS:
            yield device.message_of("telem", ts, encode(body))


async def append(client: Redis, sent: Sequence[Message]) -> tuple[int, int]:
    """As a receiver does; returns what Redis has then."""
    script = Scripts.of(client).append
    for at in range(0, len(sent), BATCH):
        now = int(time.time() * 1000)
        words: list[bytes | int] = []
        for message in sent[at : at + BATCH]:
            words += (message.topic.encode(), message.payload, now)
        await script(keys=[key_of(0)], args=append_arguments(len(sent), words))
    return await in_redis(client)


async def in_redis(client: Redis) -> tuple[int, int]:
    """Bytes of memory, and of the append-only file."""
    memory: Any = await client.info("memory")
    persistence: Any = await client.info("persistence")
    return int(memory["used_memory_dataset"]), int(persistence["aof_current_size"])


async def store(client: Redis, redis_url: str, database_url: str, directory: Path) -> int:
    """Let a writer empty the stream; returns the bytes of write-ahead log that it took."""
    before = await ask(database_url, _WAL)
    environment = {**os.environ, "REDIS_URL": redis_url, "DATABASE_URL": database_url}
    writer = Writer(directory / "writer", free_port(), environment)
    async with started(writer):
        await reached(lambda: client.xlen(key_of(0)), lambda entries: entries == 0, writer)
    return int((await ask(database_url, _WAL))["bytes"] - before["bytes"])


async def ask(database_url: str, query: str) -> Any:
    """One row."""
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchrow(query)
    finally:
        await connection.close()


@click.command()
@click.option("--services", type=click.Choice(["embedded", "debian"]), default="embedded", show_default=True)
@click.option("--messages", "count", type=click.IntRange(1), default=50_000, show_default=True)
def main(services: str, count: int) -> None:
    """Measure what a message with ten points takes in Redis and in PostgreSQL, on servers of its own."""
    chosen = DEBIAN if services == "debian" else EMBEDDED
    if absent := missing(chosen):
        sys.exit(f"not installed here: {', '.join(absent)}")
    with tempfile.TemporaryDirectory(prefix="traksense-footprint-") as directory:
        print(asyncio.run(measure(chosen, Path(directory), count)))


if __name__ == "__main__":
    main()
