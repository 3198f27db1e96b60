"""Everything is asked at once, each part for itself: one that is away, or only slow, hides none of the others."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from redis.exceptions import RedisError

from ops.status.broker import greet
from ops.status.database import Ledgers
from ops.status.part import Address, Part, State
from ops.status.report import Status
from ops.status.streams import (
    Look,
    Rows,
    as_begun_anew,
    look_after,
    look_at,
    lost_of,
    row_of,
    shards_that_hold,
    with_remembered,
)
from shared.config import Settings
from shared.ledger_rows import LedgerRow
from shared.shard import read_after
from shared.stream import connect, number_of

GREET_EVERY_S = 5.0  # a broker logs each client that comes and goes
REMEMBER_EVERY_S = 10.0
SEARCH_EVERY_S = 10.0  # for streams beyond INGEST_SHARDS: a thousand XLENs


@dataclass
class _Last:
    """When something was done, by a monotonic clock, and what came of it."""

    at: float = -3600.0
    part: Part | None = None

    def is_due(self, every_s: float) -> bool:
        return time.monotonic() - self.at >= every_s


class Looker:
    """Looks once, or again and again over the same connections."""

    def __init__(self, settings: Settings, patience_s: float, skipped: Collection[str] = ()) -> None:
        """`patience_s` is how long each part has to answer; `skipped` parts are not asked. Raises ConfigError."""
        self._settings = settings
        self._broker = Address("broker", "MQTT_URL", settings.mqtt_url, patience_s)
        self._redis = Address("redis", "REDIS_URL", settings.redis_url, patience_s)
        self._database = Address("database", "DATABASE_URL", settings.database_url, patience_s)
        self._client = connect(settings.redis_url)
        self._ledgers = Ledgers(settings.database_url, patience_s)
        self._skipped = skipped
        self._before: Look | None = None
        self._known: tuple[Rows | None, Look | None] = None, None  # by the last look, of the database and of Redis
        self._shards: Sequence[int] = ()  # that were found when last looked for
        self._greeted, self._remembered, self._searched = _Last(), _Last(), _Last()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ledgers.close()
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def look(self, sample_s: float) -> Status:
        """All that can be seen. Rates are those since the last look, of the first one those of `sample_s`."""
        broker, (redis, now, database, rows) = await asyncio.gather(self._ask_broker(), self._ask_stores(sample_s))
        before, self._before = self._before, now
        self._known = rows, now
        return self._status((broker, redis, database), before, now, rows)

    async def _ask_stores(self, sample_s: float) -> tuple[Part, Look | None, Part, Rows | None]:
        """What Redis says comes after what the database has answered, and is then the newer one."""
        (database, rows), redis = await asyncio.gather(self._ask_database(), self._begin(sample_s))
        now = None
        if not redis.is_bad:
            redis, now = await self._redis.ask(lambda: self._look_after(rows or {}))
        return redis, now, database, rows

    async def _begin(self, sample_s: float) -> Part:
        if self._before is not None:
            return self._redis.answered()
        redis, self._before = await self._redis.ask(self._first_look)
        await asyncio.sleep(0 if redis.is_bad else sample_s)
        return redis

    async def _first_look(self) -> Look:
        await self._search()
        return await look_at(self._client, self._shards)

    async def _look_after(self, rows: Rows) -> Look:
        if self._searched.is_due(SEARCH_EVERY_S):
            await self._search()
        return await look_after(self._client, with_remembered(self._shards, rows), rows)

    async def _search(self) -> None:
        self._shards = await shards_that_hold(self._client, self._settings.ingest_shards)
        self._searched = _Last(time.monotonic())

    async def _ask_broker(self) -> Part:
        if "broker" in self._skipped:
            return self._broker.skipped()
        last = self._greeted
        if last.part is None or last.part.state is not State.UP or last.is_due(GREET_EVERY_S):
            part, _ = await self._broker.ask(lambda: greet(self._settings, self._broker.patience_s))
            self._greeted = last = _Last(time.monotonic(), part)
        assert last.part is not None  # noqa: S101  (it has just been asked)
        return last.part

    async def _ask_database(self) -> tuple[Part, Rows | None]:
        async def read() -> Rows:
            async with self._ledgers.rows() as rows:
                return await rows.read()

        if "database" in self._skipped:
            return self._database.skipped(), None
        return await self._database.ask(read)

    async def remember(self) -> None:
        """Copy what was seen and no writer has: a stream that nobody reads from may be lost as well. Who may only look
        leaves it."""
        rows, now = self._known
        if rows is None or now is None or not self._remembered.is_due(REMEMBER_EVERY_S):
            return
        self._remembered = _Last(time.monotonic())
        known = [(row_of(rows, number_of(shard.stream)), shard) for shard in now.shards]
        await self._database.ask(lambda: self._copy([row for row, shard in known if row.precedes(shard)]))

    async def _copy(self, sound: Sequence[LedgerRow]) -> None:
        async with self._ledgers.rows() as rows:
            for row in sound:
                now = await read_after(self._client, number_of(row.stream), row, is_counted=not row.is_closed)
                if now.is_counted and row.precedes(now):
                    await rows.replace(row, replace(now, looks=now.looks + 1))

    def _status(self, parts: Sequence[Part], before: Look | None, now: Look | None, rows: Rows | None) -> Status:
        common: dict[str, Any] = {"cap": self._settings.ingest_queue_max, "parts": parts}
        if now is None:
            return Status((), None, 0.0, **common)
        before, known = before or now, rows or {}
        return Status(
            before.shards,
            [as_begun_anew(row_of(known, number_of(shard.stream)), shard) for shard in now.shards],
            now.at - before.at,
            lost=None if rows is None else lost_of(known, now.shards),
            receivers=now.receivers,
            **common,
        )
