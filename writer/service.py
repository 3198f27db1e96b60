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

from traksense_ingest.shared import database
from traksense_ingest.shared.config import Settings, redacted
from traksense_ingest.shared.failure import Kind, describe, kind_of
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.ports import WRITER_METRICS
from traksense_ingest.shared.runtime.health import Health
from traksense_ingest.shared.runtime.health_server import HealthServer
from traksense_ingest.shared.runtime.retry import wait_until_reachable
from traksense_ingest.shared.runtime.service import event_loop_heartbeat, run_until, unless_stopped
from traksense_ingest.shared.streams import client as stream
from traksense_ingest.shared.streams.client import Clients
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.shared.streams.ledger_rows import LedgerRows
from traksense_ingest.shared.streams.shard_count import ShardCount
from traksense_ingest.writer.decode.clock import ClockWatch
from traksense_ingest.writer.decode.current import CurrentRoutes
from traksense_ingest.writer.decode.decode import utc_now
from traksense_ingest.writer.lane import Lane, LaneContext
from traksense_ingest.writer.read.consumer import COMMANDS, Consumer
from traksense_ingest.writer.read.leftover_shards import Shards, drain_leftover_shards
from traksense_ingest.writer.read.source import ReadSize, Source
from traksense_ingest.writer.store.births import StoredBirths
from traksense_ingest.writer.store.canary import Canary
from traksense_ingest.writer.store.devices import MIN_UPDATE_INTERVAL, DeviceRegistry
from traksense_ingest.writer.store.refused_kinds import RefusedKinds
from traksense_ingest.writer.store.store import Storage
from traksense_ingest.writer.store.tables import Tables
from traksense_ingest.writer.watch.device_counts import watch_device_counts
from traksense_ingest.writer.watch.ledger import LedgerWatch
from traksense_ingest.writer.watch.metrics_recorder import MetricsRecorder
from traksense_ingest.writer.watch.overdue_commands import watch_commands
from traksense_ingest.writer.watch.periodic import (
    watch_consumers,
    watch_database,
    watch_dead_letters,
    watch_devices,
    watch_heartbeat,
    watch_ledgers,
    watch_receivers,
    watch_streams,
)
from traksense_ingest.writer.watch.recent_figures import RecentFigures
from traksense_ingest.writer.watch.snapshot_feed import SnapshotFeed
from traksense_ingest.writer.watch.stuck_transactions import StuckTransactions

LANES = 2  # for each stream: one decodes while the other's transaction is under way

# A batch is some ten thousand rows, all of which reference counting frees: Python would look for cycles among them
# a dozen times.
OBJECTS_BETWEEN_COLLECTIONS = 50_000

log = logging.getLogger(__name__)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run a writer until `stop`. Raises ConfigurationError when it can't ever start."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    metrics = WriterMetrics()
    routes = CurrentRoutes(settings, metrics)
    metrics.queue_max.set(settings.ingest_queue_max)
    health = health_of(settings, metrics)
    port = WRITER_METRICS.default if settings.metrics_port is None else settings.metrics_port
    async with AsyncExitStack() as lifetimes:
        lifetimes.enter_context(routes.mappings.reloaded_at_hangup())
        server = lifetimes.enter_context(HealthServer(settings.metrics_host, port, metrics, health))
        log.info("writer: metrics on port %d", server.port, extra={"port": server.port})
        await lifetimes.enter_async_context(event_loop_heartbeat(health))
        clients = await lifetimes.enter_async_context(stream.connect(settings.redis_url))
        pool = await unless_stopped(stop, _wait_for_servers(settings, clients, health))
        if pool is None:
            return
        lifetimes.callback(pool.terminate)  # every transaction has ended by then; a dead server can't delay us
        log.info("storing from %s to %s", redacted(settings.redis_url), redacted(settings.database_url))
        context = lane_context(settings, pool, health, metrics, routes)
        shards, process = Shards(settings.ingest_shards), process_name()
        lifetimes.callback(context.recorder.dead_letters.flush)
        await run_until(
            stop,
            _run_lanes(settings, clients, context, metrics, shards, process, stop),
            _watch(settings, clients, pool, context, metrics, shards, process, routes),
            abort=pool.terminate,
        )


def health_of(settings: Settings, metrics: WriterMetrics) -> Health:
    """Of a writer's components; the first two are unknown until they answer."""
    addresses = {
        "redis": f"REDIS_URL={redacted(settings.redis_url)}",
        "database": f"DATABASE_URL={redacted(settings.database_url)}",
        "clock": "of this host and of Redis",
        "messages": "what the streams hold",
    }
    health = Health(metrics, addresses)
    for name in ("clock", "messages"):
        health.components[name].presume()
    return health


def lane_context(
    settings: Settings, pool: Any, health: Health, metrics: WriterMetrics, routes: CurrentRoutes
) -> LaneContext:
    """What a process's lanes have in common, over one pool of database connections."""
    components = health.components
    tables = Tables(pool, DeviceRegistry())
    canary = Canary(tables, routes, pool)
    recorder = MetricsRecorder(metrics, settings.ingest_max_rejected_share)
    max_deliveries = settings.ingest_max_deliveries
    return LaneContext(
        routes,
        Storage(tables, canary, components["database"], recorder, max_deliveries),
        canary,
        RefusedKinds(canary, components["database"], components["messages"]),
        ClockWatch(components["clock"], settings.ingest_max_future_s),
        components,
        recorder,
        StoredBirths(pool, routes.aliases),
        max_deliveries,
    )


async def _wait_for_servers(settings: Settings, clients: Clients, health: Health) -> Any:
    """The pool, once Redis and a database that the writer can store in are reachable."""

    async def ask_redis() -> None:
        await clients.of(key_of(0)).ping()
        await stream.require(clients, settings.ingest_shards, COMMANDS)

    async def open_database() -> Any:
        await database.check(settings.database_url)
        return await database.open_pool(settings.database_url, settings.db_pool_min, settings.db_pool_max)

    await wait_until_reachable(health.components["redis"], "REDIS_URL", ask_redis)
    return await wait_until_reachable(health.components["database"], "DATABASE_URL", open_database)


async def _run_lanes(
    settings: Settings,
    clients: Clients,
    context: LaneContext,
    metrics: WriterMetrics,
    shards: Shards,
    process: str,
    stop: asyncio.Event,
) -> None:
    redis = context.components["redis"]

    async def serve_shard(shard: int, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(LANES):
                source = Source(
                    Consumer(clients, shard, f"{process}-{number}"),
                    ReadSize(settings.ingest_batch_size),
                    settings.ingest_batch_ms,
                    settings.ingest_claim_idle_ms,
                    redis,
                    metrics,
                    stop,
                )
                lane = Lane(source, context)
                tasks.create_task(_with_lease_renewal(lane, source, stop), name=f"lane {shard}.{number}")

    async with asyncio.TaskGroup() as tasks:
        for shard in shards.own:
            tasks.create_task(serve_shard(shard, stop), name=f"shard {shard}")
        drain = drain_leftover_shards(clients, shards, serve_shard, redis, stop)
        tasks.create_task(drain, name="leftover shards")
    await _flush_pending_devices(context.storage)


async def _flush_pending_devices(storage: Storage) -> None:
    """Write the postponed changes of devices at the end. They are dropped when the database is unreachable."""
    try:
        await storage.write_overdue_devices(utc_now() + MIN_UPDATE_INTERVAL)
    except Exception as error:
        if kind_of(error) is not Kind.OUTAGE:
            raise
        log.warning(
            "changes of devices of the last %d s are not written: %s", MIN_UPDATE_INTERVAL.seconds, describe(error)
        )


def process_name() -> str:
    """The name of its consumers; unique where host name and process id are not, as in two containers."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


async def _with_lease_renewal(lane: Lane, source: Source, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        renewal = tasks.create_task(source.keep_alive(), name="renewal")
        await lane.run(stop)
        renewal.cancel()


async def _watch(
    settings: Settings,
    clients: Clients,
    pool: Any,
    context: LaneContext,
    metrics: WriterMetrics,
    shards: Shards,
    process: str,
    routes: CurrentRoutes,
) -> None:
    redis, database_ = context.components["redis"], context.components["database"]
    stuck = StuckTransactions(pool, settings.ingest_claim_idle_ms / 1000)
    feed = SnapshotFeed(clients, shards, redis)
    ledgers = LedgerWatch(clients, LedgerRows(database.Queries(pool)), feed.next, redis, database_)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch_streams(feed, ledgers, metrics), name="streams")
        tasks.create_task(watch_ledgers(ledgers), name="ledgers")
        tasks.create_task(watch_consumers(clients, shards, redis), name="consumers")
        tasks.create_task(watch_receivers(clients, metrics), name="receivers")
        own = settings.ingest_shards
        figures = RecentFigures(metrics)
        beating = watch_heartbeat(clients, process, own, routes.mappings, context.components, figures)
        tasks.create_task(beating, name="heartbeat")
        tasks.create_task(ShardCount(clients, own).watch(), name="shard count")
        tasks.create_task(routes.follow(), name="mappings")
        tasks.create_task(watch_database(stuck, database_), name="database")
        tasks.create_task(watch_devices(context.storage, database_), name="devices")
        tasks.create_task(watch_device_counts(pool, metrics), name="device counts")
        tasks.create_task(watch_commands(pool, metrics), name="commands")
        tasks.create_task(watch_dead_letters(context.recorder), name="dead letters")
