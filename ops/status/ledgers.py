"""The ledgers: as Redis has them at one moment, and as the database has recorded them in the table `stream_ledger`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self, TypeVar

import asyncpg
from redis.exceptions import ResponseError

from traksense_ingest.ops.advice import explain_with_url
from traksense_ingest.shared import database, integrity
from traksense_ingest.shared.database import NotMigrated
from traksense_ingest.shared.database_url import DatabaseUrl
from traksense_ingest.shared.failure import DATABASE_ERRORS, Unusable, ended_by
from traksense_ingest.shared.messages import DEVICE_STATUSES
from traksense_ingest.shared.streams import heartbeat
from traksense_ingest.shared.streams.client import Clients, left_behind
from traksense_ingest.shared.streams.heartbeat import Receiver, Writer
from traksense_ingest.shared.streams.keys import key_of, number_of
from traksense_ingest.shared.streams.ledger_rows import LedgerRow, LedgerRows
from traksense_ingest.shared.streams.snapshot import StreamSnapshot, read_snapshot, read_snapshot_after

T = TypeVar("T")
Rows = Mapping[str, LedgerRow]  # by stream
Processes = tuple[Sequence[Receiver] | None, Sequence[Writer] | None]

_ERRORS = (*DATABASE_ERRORS, OSError)
_DEVICES = "SELECT status, count(*) AS devices FROM device_status GROUP BY status"


@dataclass(frozen=True)
class Snapshot:
    """The shards and the processes at one moment."""

    at: float  # by this machine's monotonic clock, in seconds
    shards: Sequence[StreamSnapshot]
    receivers: Sequence[Receiver] | None  # None if this user of Redis may not read them
    writers: Sequence[Writer] | None = None


async def take_snapshot(clients: Clients, numbers: Iterable[int]) -> Snapshot:
    """The state that rates are computed from. Raises what redis-py raises."""
    return await _with_processes(clients, [await read_snapshot(clients, number) for number in numbers])


async def take_snapshot_after(clients: Clients, numbers: Iterable[int], rows: Rows) -> Snapshot:
    """A snapshot that is newer than the rows. Raises what redis-py raises."""
    return await _with_processes(
        clients, [await read_snapshot_after(clients, number, row_of(rows, number)) for number in numbers]
    )


async def shards_with_entries(clients: Clients, shards: int) -> list[int]:
    """INGEST_SHARDS, and those beyond that hold entries. Raises what redis-py raises."""
    return [*range(shards), *await left_behind(clients, shards)]


def including_recorded(shards: Iterable[int], rows: Rows) -> list[int]:
    """These shards, and those that had entries, or missed some, when they were recorded."""
    recorded = {number_of(row.stream) for row in rows.values() if row.in_stream or row.missing or row.lost}
    return sorted({*shards, *recorded})


def row_of(rows: Rows, number: int) -> LedgerRow:
    """What the database has recorded of a shard; an empty row if nothing."""
    return rows.get(key_of(number)) or LedgerRow(stream=key_of(number))


def lost_of(rows: Rows, shards: Iterable[StreamSnapshot]) -> dict[str, int]:
    """By stream, how many entries were lost when it was deleted."""
    known = {shard.stream: row_of(rows, number_of(shard.stream)) for shard in shards}
    return {shard.stream: known[shard.stream].lost + known[shard.stream].lost_since(shard) for shard in shards}


def rebased_after_reset(row: LedgerRow, now: StreamSnapshot) -> StreamSnapshot:
    """After a ledger was deleted it counts from now on; what was lost is shown separately."""
    return replace(now, removed=now.unaccounted) if now.missing > 0 and not row.precedes(now) else now


async def read_processes(clients: Clients) -> Processes:
    """By their heartbeats: the receivers and the writers, None if this user of Redis may not read them. Raises what
    redis-py raises."""
    receivers = await _unless_refused(heartbeat.receivers(clients))
    return receivers, await _unless_refused(heartbeat.writers(clients))


async def _with_processes(clients: Clients, shards: Sequence[StreamSnapshot]) -> Snapshot:
    return Snapshot(time.monotonic(), shards, *await read_processes(clients))


async def _unless_refused(reading: Awaitable[list[T]]) -> list[T] | None:
    try:
        return await reading
    except ResponseError:
        return None


class Ledgers:
    """The table over one connection, made when it is needed and again after it was lost."""

    def __init__(self, url: str, patience_s: float) -> None:
        """`patience_s` is how long connecting, to all hosts together, and each statement may take."""
        self._url = url
        self._patience_s = patience_s
        self._connection: Any = None

    @asynccontextmanager
    async def rows(self) -> AsyncIterator[LedgerRows]:
        """The rows, for as long as the block. Raises what asyncpg raises, NotMigrated and Unusable."""
        try:
            if self._connection is None:
                self._connection = await self._connect()
            yield LedgerRows(self._connection, self._patience_s)
        except asyncpg.UndefinedTableError:
            await self._raise_missing_table()
        except BaseException:
            self.close()
            raise

    async def _connect(self) -> Any:
        each_s = self._patience_s / max(1, len(DatabaseUrl.parse(self._url).hosts))
        return await database.connect(self._url, self._patience_s, each_s)

    async def _raise_missing_table(self) -> NoReturn:
        """The database is not migrated, or is being restored and the tables are still to come."""
        try:
            await integrity.require_session(self._connection)
            raise NotMigrated("the database is not migrated; run `traksense-ingest migrate`") from None
        finally:
            self.close()

    async def problem(self) -> str | None:
        """Why nothing can be stored, or which rows are hidden, over the connection of `rows`; a line, or None.

        Raises what asyncpg raises.
        """
        return await integrity.problem(self._connection)

    async def devices(self) -> dict[str, int] | None:
        """How many devices there are, by status, over the connection of `rows`; None if this user may not read them,
        the schema is older, or it takes too long. Raises what asyncpg raises if the connection is lost."""
        try:
            rows = await self._connection.fetch(_DEVICES, timeout=self._patience_s / 2)
        except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError, TimeoutError):
            return None
        counts = {row["status"]: row["devices"] for row in rows}
        return {status: counts.get(status, 0) for status in DEVICE_STATUSES}

    def close(self) -> None:
        """Cut the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@asynccontextmanager
async def ledger_rows(url: str, patience_s: float) -> AsyncIterator[LedgerRows]:
    """The table, for as long as the block, to accept what is lost; raises IngestError."""
    with Ledgers(url, patience_s) as ledgers:
        try:
            async with ledgers.rows() as rows:
                yield rows
        except (*_ERRORS, NotMigrated, Unusable) as error:
            why = explain_with_url("DATABASE_URL", url, error)
            raise ended_by(error, f"{why}; nothing was accepted as lost") from error
