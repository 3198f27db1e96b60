"""Background tasks of a writer, every few seconds, also while no messages come.

An error in one of them is logged and stops nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from redis.exceptions import ResponseError

from traksense_ingest.shared.failure import REDIS_ERRORS, describe
from traksense_ingest.shared.mapping.reload import LiveMappings
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import retry_through_outage, watch
from traksense_ingest.shared.streams import heartbeat
from traksense_ingest.shared.streams.client import Clients
from traksense_ingest.shared.streams.connection import is_of_server
from traksense_ingest.shared.streams.heartbeat import Writer
from traksense_ingest.writer.decode.decode import utc_now
from traksense_ingest.writer.read.consumer import Consumer
from traksense_ingest.writer.store.store import Storage
from traksense_ingest.writer.watch.ledger import LedgerWatch
from traksense_ingest.writer.watch.metrics_recorder import MetricsRecorder
from traksense_ingest.writer.watch.recent_figures import RecentFigures
from traksense_ingest.writer.watch.snapshot_feed import SnapshotFeed
from traksense_ingest.writer.watch.stuck_transactions import StuckTransactions

PERIOD_S = 1.0
DEVICES_PERIOD_S = 5.0
CONSUMERS_PERIOD_S = 60.0
RECEIVERS_PERIOD_S = 5.0
STOP_S = 1.0  # a Redis that is unreachable must not hold up the shutdown

log = logging.getLogger(__name__)


async def watch_streams(feed: SnapshotFeed, ledgers: LedgerWatch, metrics: WriterMetrics) -> None:
    """Take a snapshot of each shard, set the gauges that it gives, and notice that Redis is unreachable though nothing
    else uses it."""

    async def set_gauges() -> None:
        snapshots = await feed.take()
        metrics.queue_size.set(sum(each.in_stream for each in snapshots))
        metrics.longest_stream.set(max(each.in_stream for each in snapshots))
        metrics.pending.set(sum(each.pending for each in snapshots))
        metrics.oldest_age.set(max(each.oldest_s for each in snapshots))
        metrics.lost.set(ledgers.lost + sum(max(each.missing, 0) for each in snapshots))

    await watch("the streams", set_gauges, PERIOD_S)


async def watch_ledgers(ledgers: LedgerWatch) -> None:
    """Keep the ledgers' copies in the database, and record losses; each check waits for the next snapshots."""
    await watch("the ledgers", ledgers.check, PERIOD_S / 2)


async def watch_receivers(clients: Clients, metrics: WriterMetrics) -> None:
    """Keep the number of receivers that are gone up to date; NaN where Redis denies the command."""

    async def count() -> None:
        try:
            found = await heartbeat.receivers(clients)
        except ResponseError:
            metrics.receivers_gone.set(math.nan)
        except REDIS_ERRORS:
            """Outages are logged by what works with Redis; the last number stays until it is over."""
        else:
            metrics.receivers_gone.set(sum(receiver.is_gone for receiver in found))

    await watch("the receivers", count, RECEIVERS_PERIOD_S)


async def watch_heartbeat(
    clients: Clients,
    name: str,
    shards: int,
    mappings: LiveMappings[Any],
    components: Mapping[str, Component],
    figures: RecentFigures,
) -> None:
    """Register this writer every 2 s, and when a component is lost or back, for `traksense-ingest status`; at the end
    it is removed."""
    process, pulse, warned = f"{socket.gethostname()}-{os.getpid()}", heartbeat.Pulse(components), False

    async def beat() -> None:
        nonlocal warned
        if not pulse.is_due():
            return
        try:
            state = Writer(
                name=name,
                process=process,
                shards=shards,
                mappings=mappings.digests,
                reload_error=mappings.reload_error,
                waits=heartbeat.waits_of(components),
                **figures.read()._asdict(),
            )
            await heartbeat.register_writer(clients, state)
        except REDIS_ERRORS as error:
            if isinstance(error, ResponseError) and not is_of_server(error) and not warned:
                warned = True
                about = {"component": "redis"}
                log.warning("`traksense-ingest status` can't see this writer: %s", describe(error), extra=about)

    try:
        await watch("the heartbeat", beat, heartbeat.CHECK_S)
    finally:
        with contextlib.suppress(*REDIS_ERRORS):  # without it, the missing heartbeats say the same a little later
            async with asyncio.timeout(STOP_S):
                await heartbeat.deregister_writer(clients, name)


async def watch_database(stuck: StuckTransactions, database: Component) -> None:
    """Notice that the database is unreachable though nothing is stored, and end what a stuck writer left open."""

    async def end_stuck() -> None:
        if ended := await retry_through_outage(database, stuck.end):
            about = {"component": "database", "count": ended}
            log.warning("ended %d transactions of a writer that is stuck", ended, extra=about)

    await watch("the database", end_stuck, PERIOD_S)


async def watch_devices(storage: Storage, database: Component) -> None:
    """Write the changes of devices that came too soon after earlier ones."""

    async def write_overdue() -> None:
        await retry_through_outage(database, lambda: storage.write_overdue_devices(utc_now()))

    await watch("the devices", write_overdue, DEVICES_PERIOD_S)


async def watch_dead_letters(recorder: MetricsRecorder) -> None:
    """Log what became a dead letter since the last line, though no more of them come."""
    while True:
        await asyncio.sleep(PERIOD_S)
        recorder.dead_letters.flush_if_due()


async def watch_consumers(clients: Clients, shards: Iterable[int], redis: Component) -> None:
    """Delete the consumers of writers that died long ago."""

    async def delete_idle() -> None:
        for shard in shards:
            await retry_through_outage(redis, Consumer(clients, shard, "").delete_idle)

    await watch("the consumers", delete_idle, CONSUMERS_PERIOD_S)
