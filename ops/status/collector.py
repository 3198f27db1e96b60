"""Asks all dependencies at once, each independently: one that is unreachable, or slow, hides none of the others."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from redis.exceptions import ResponseError

from traksense_ingest.ops.status.dependency import Address, Dependency, State, check_broker
from traksense_ingest.ops.status.ledgers import (
    Ledgers,
    Rows,
    Snapshot,
    including_recorded,
    lost_of,
    read_processes,
    rebased_after_reset,
    row_of,
    shards_with_entries,
    take_snapshot,
    take_snapshot_after,
)
from traksense_ingest.ops.status.report import Status
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import REDIS_ERRORS, Unusable, describe
from traksense_ingest.shared.streams.client import connect
from traksense_ingest.shared.streams.keys import number_of
from traksense_ingest.shared.streams.ledger_rows import LedgerRow
from traksense_ingest.shared.streams.snapshot import read_snapshot_after

CHECK_BROKER_EVERY_S = 5.0  # a broker logs each client that connects
RECORD_EVERY_S = 10.0
COUNT_DEVICES_EVERY_S = 10.0  # half a second for 100 000 of them
SEARCH_EVERY_S = 10.0  # for streams beyond INGEST_SHARDS: a thousand XLENs


@dataclass
class _Last:
    """When something was done last, by a monotonic clock, and its result."""

    at: float = -3600.0
    dependency: Dependency | None = None

    def is_due(self, every_s: float) -> bool:
        return time.monotonic() - self.at >= every_s


class StatusCollector:
    """Collects the status once, or again and again over the same connections."""

    def __init__(self, settings: Settings, patience_s: float, skipped: Collection[str] = ()) -> None:
        """`patience_s` is how long each dependency may take to answer; the `skipped` ones are not asked.

        Raises ConfigurationError.
        """
        self._settings = settings
        self._broker = Address("broker", "MQTT_URL", settings.mqtt_url, patience_s)
        self._redis = Address("redis", "REDIS_URL", settings.redis_url, patience_s)
        self._database = Address("database", "DATABASE_URL", settings.database_url, patience_s)
        self._clients = connect(settings.redis_url)
        self._ledgers = Ledgers(settings.database_url, patience_s)
        self._skipped = skipped
        self._before: Snapshot | None = None
        self._known: tuple[Rows | None, Snapshot | None] = None, None  # as last collected
        self._shards: Sequence[int] = ()  # as last searched for
        self._devices: Mapping[str, int] | None = None  # as last counted
        self._bad_since: Mapping[str, float] = {}  # dependencies, by a monotonic clock
        self._lost_at: float | None = None  # when the database was asked and first could not be used, by the same clock
        self._checked_broker, self._recorded, self._searched, self._counted = _Last(), _Last(), _Last(), _Last()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ledgers.close()
        with contextlib.suppress(*REDIS_ERRORS):
            await self._clients.aclose()

    async def collect(self, sample_s: float) -> Status:
        """The whole status. Rates are those since the last time; the first time those of `sample_s`."""
        asked = time.monotonic()
        broker, (redis, now, database, rows), nodes = await asyncio.gather(
            self._ask_broker(), self._ask_stores(sample_s), self._ask_nodes()
        )
        before, self._before = self._before, now
        self._known = rows, now
        self._lost_at = (self._lost_at or asked) if database.is_bad else None
        common = {
            "cap": self._settings.ingest_queue_max,
            "dependencies": (broker, redis, database),
            "numbers": self._shards or range(self._settings.ingest_shards),
            "devices": self._devices,
            "outages": self._outages(broker, redis, database),
            "is_rate_older": before is not None and self._lost_at is not None and before.at < self._lost_at,
            **nodes,
        }
        if now is None:
            return Status((), None, 0.0, **common, **await self._processes_alone(nodes))
        return self._status(common, before or now, now, rows)

    def _outages(self, *dependencies: Dependency) -> Mapping[str, float]:
        """By dependency that is bad: seconds since this collector first saw that."""
        now = time.monotonic()
        self._bad_since = {each.name: self._bad_since.get(each.name, now) for each in dependencies if each.is_bad}
        return {name: now - since for name, since in self._bad_since.items()}

    async def _ask_stores(self, sample_s: float) -> tuple[Dependency, Snapshot | None, Dependency, Rows | None]:
        """Redis is asked after the database has answered, so that its state is the newer one."""
        (database, rows), redis = await asyncio.gather(self._ask_database(), self._start_sample(sample_s))
        now = None
        if not redis.is_bad:
            redis, now = await self._redis.ask(lambda: self._snapshot_after(rows or {}))
        return redis, now, database, rows

    async def _start_sample(self, sample_s: float) -> Dependency:
        if self._before is not None:
            return self._redis.answered()
        redis, self._before = await self._redis.ask(self._first_snapshot)
        await asyncio.sleep(0 if redis.is_bad else sample_s)
        return redis

    async def _first_snapshot(self) -> Snapshot:
        await self._search()
        return await take_snapshot(self._clients, self._shards)

    async def _snapshot_after(self, rows: Rows) -> Snapshot:
        if self._searched.is_due(SEARCH_EVERY_S):
            await self._search()
        return await take_snapshot_after(self._clients, including_recorded(self._shards, rows), rows)

    async def _search(self) -> None:
        self._shards = await shards_with_entries(self._clients, self._settings.ingest_shards)
        self._searched = _Last(time.monotonic())

    async def _ask_nodes(self) -> Mapping[str, Any]:
        """The nodes of a cluster, where there is one that answers: why none does is an error of Redis."""
        try:
            async with asyncio.timeout(self._redis.patience_s):
                return {"nodes": await self._clients.nodes()}
        except ResponseError as error:
            return {"nodes_error": describe(error)}
        except (*REDIS_ERRORS, Unusable, TimeoutError):
            return {}

    async def _processes_alone(self, nodes: Mapping[str, Any]) -> Mapping[str, Any]:
        """The processes, if a shard can't be read: another node of the cluster may have their heartbeats."""
        if not nodes.get("nodes"):
            return {}
        _, found = await self._redis.ask(lambda: read_processes(self._clients))
        return dict(zip(("receivers", "writers"), found or (), strict=False))

    async def _ask_broker(self) -> Dependency:
        if "broker" in self._skipped:
            return self._broker.skipped()
        last = self._checked_broker
        if last.dependency is None or last.dependency.state is not State.UP or last.is_due(CHECK_BROKER_EVERY_S):
            dependency, _ = await self._broker.ask(lambda: check_broker(self._settings, self._broker.patience_s))
            self._checked_broker = _Last(time.monotonic(), dependency)
            return dependency
        return last.dependency

    async def _ask_database(self) -> tuple[Dependency, Rows | None]:
        async def read() -> tuple[Rows, str | None]:
            async with self._ledgers.rows() as rows:
                found = await rows.read(), await self._ledgers.problem()
                if self._counted.is_due(COUNT_DEVICES_EVERY_S):
                    self._devices, self._counted = await self._ledgers.devices(), _Last(time.monotonic())
                return found

        if "database" in self._skipped:
            return self._database.skipped(), None
        dependency, found = await self._database.ask(read)
        if found is None:
            self._devices, self._counted = None, _Last()
        rows, problem = found or (None, None)
        return self._database.wrong(problem) if problem else dependency, rows

    async def record(self) -> None:
        """Copy into the database what was seen and no writer has recorded: a stream that no writer reads may be lost,
        too. A user who may only read leaves the rows as they are."""
        rows, now = self._known
        if rows is None or now is None or not self._recorded.is_due(RECORD_EVERY_S):
            return
        self._recorded = _Last(time.monotonic())
        known = [(row_of(rows, number_of(shard.stream)), shard) for shard in now.shards]
        await self._database.ask(lambda: self._copy([row for row, shard in known if row.precedes(shard)]))

    async def _copy(self, outdated: Sequence[LedgerRow]) -> None:
        async with self._ledgers.rows() as rows:
            for row in outdated:
                now = await read_snapshot_after(self._clients, number_of(row.stream), row, is_counted=not row.is_closed)
                if now.is_counted and row.precedes(now):
                    await rows.replace(row, replace(now, revision=now.revision + 1))

    def _status(self, common: Mapping[str, Any], before: Snapshot, now: Snapshot, rows: Rows | None) -> Status:
        known = rows or {}
        return Status(
            before.shards,
            [rebased_after_reset(row_of(known, number_of(shard.stream)), shard) for shard in now.shards],
            now.at - before.at,
            lost=None if rows is None else lost_of(known, now.shards),
            receivers=now.receivers,
            writers=now.writers,
            **common,
        )
