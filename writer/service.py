"""The writer: its lanes on every stream, over one pool of database connections."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import socket
from contextlib import AsyncExitStack
from typing import Any

from redis.asyncio import Redis

from shared import database, stream
from shared.config import Settings, redacted
from shared.database import NotMigrated
from shared.failure import Kind, describe, kind_of
from shared.health import Health, HealthServer
from shared.ledger_rows import LedgerRows
from shared.metrics import WriterMetrics
from shared.outage import Misconfigured, first_contact
from shared.service import run_until, turning, unless_stopped
from writer.account import Account
from writer.decode import Decoder, utc_now
from writer.devices import SETTLED, DeviceRegistry
from writer.frozen import FrozenWriters
from writer.group import COMMANDS, Group
from writer.lane import Lane
from writer.ledger import LedgerWatch
from writer.monitor import watch_consumers, watch_database, watch_devices, watch_ledgers, watch_streams
from writer.read_size import ReadSize
from writer.shards import Shards, drain_left_behind
from writer.source import Source
from writer.store import Store

LANES = 2  # for each stream: one decodes while the other's transaction is under way

# A batch is some ten thousand rows, all of which reference counting frees: Python would look for cycles among them
# a dozen times.
OBJECTS_BETWEEN_COLLECTIONS = 50_000

log = logging.getLogger(__name__)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run a writer until `stop`. Raises Misconfigured when it can't ever start."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    metrics = WriterMetrics()
    metrics.queue_max.set(settings.ingest_queue_max)
    redis, database_ = f"REDIS_URL={redacted(settings.redis_url)}", f"DATABASE_URL={redacted(settings.database_url)}"
    health = Health(metrics, {"redis": redis, "database": database_})
    port = 9101 if settings.metrics_port is None else settings.metrics_port
    async with AsyncExitStack() as lifetimes:
        server = lifetimes.enter_context(HealthServer(settings.metrics_host, port, metrics, health))
        log.info("writer: metrics on port %d", server.port)
        await lifetimes.enter_async_context(turning(health))
        client = await lifetimes.enter_async_context(stream.connect(settings.redis_url))
        pool = await unless_stopped(stop, _first_contact(settings, client, health))
        if pool is None:
            return
        lifetimes.callback(pool.terminate)  # every transaction is over by then, and a dead server must not hold us
        log.info("storing from %s to %s", redacted(settings.redis_url), redacted(settings.database_url))
        store, shards = Store(pool, DeviceRegistry()), Shards(settings.ingest_shards)
        await run_until(
            stop,
            _run_lanes(settings, client, store, health, metrics, shards, stop),
            _watch(settings, client, pool, store, health, metrics, shards),
            abort=pool.terminate,
        )


async def _first_contact(settings: Settings, client: Redis, health: Health) -> Any:
    """The pool, once Redis and a database that the writer can store in are there."""

    async def ask_redis() -> None:
        await client.ping()
        await stream.require(client, settings.ingest_shards, COMMANDS)

    async def open_database() -> Any:
        await database.check(settings.database_url)
        return await database.open_pool(settings.database_url, settings.db_pool_min, settings.db_pool_max)

    await first_contact(health.components["redis"], "REDIS_URL", ask_redis)
    try:
        return await first_contact(health.components["database"], "DATABASE_URL", open_database)
    except NotMigrated as error:
        raise Misconfigured(str(error)) from None


async def _run_lanes(
    settings: Settings,
    client: Redis,
    store: Store,
    health: Health,
    metrics: WriterMetrics,
    shards: Shards,
    stop: asyncio.Event,
) -> None:
    decoder = Decoder(settings.ingest_max_payload_bytes, settings.ingest_max_future_s)
    account = Account(metrics)
    process = process_name()

    async def serve_shard(shard: int, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(LANES):
                source = Source(
                    Group(client, shard, f"{process}-{number}"),
                    ReadSize(settings.ingest_batch_size),
                    settings.ingest_batch_ms,
                    settings.ingest_claim_idle_ms,
                    health.components["redis"],
                    metrics,
                    stop,
                )
                lane = Lane(
                    source,
                    decoder,
                    store,
                    health.components["database"],
                    account,
                    settings.ingest_max_deliveries,
                )
                tasks.create_task(_with_renewal(lane, source, stop), name=f"lane {shard}.{number}")

    async with asyncio.TaskGroup() as tasks:
        for shard in shards.own:
            tasks.create_task(serve_shard(shard, stop), name=f"shard {shard}")
        drain = drain_left_behind(client, shards, serve_shard, health.components["redis"], stop)
        tasks.create_task(drain, name="left behind")
    await _write_last_news(store)


async def _write_last_news(store: Store) -> None:
    """What is withheld of devices has no later moment. With a database that is away it is given up."""
    try:
        await store.write_overdue_devices(utc_now() + SETTLED)
    except Exception as error:
        if kind_of(error) is not Kind.OUTAGE:
            raise
        log.warning("what changed of devices in the last %d s is not written: %s", SETTLED.seconds, describe(error))


def process_name() -> str:
    """For people who look at the group; unique where host name and process id are not, as in two containers."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


async def _with_renewal(lane: Lane, source: Source, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        renewal = tasks.create_task(source.keep_alive(), name="renewal")
        await lane.run(stop)
        renewal.cancel()


async def _watch(
    settings: Settings,
    client: Redis,
    pool: Any,
    store: Store,
    health: Health,
    metrics: WriterMetrics,
    shards: Shards,
) -> None:
    redis, database_ = health.components["redis"], health.components["database"]
    frozen = FrozenWriters(pool, settings.ingest_claim_idle_ms / 1000)
    ledgers = LedgerWatch(client, LedgerRows(database.Queries(pool)), redis, database_)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stream.watch_backlog(client, shards, redis, metrics), name="backlog")
        tasks.create_task(watch_streams(client, shards, ledgers, redis, metrics), name="streams")
        tasks.create_task(watch_ledgers(ledgers, shards), name="ledgers")
        tasks.create_task(watch_consumers(client, shards, redis), name="consumers")
        tasks.create_task(watch_database(frozen, database_), name="database")
        tasks.create_task(watch_devices(store, database_), name="devices")
