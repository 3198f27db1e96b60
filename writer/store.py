"""A batch into the database: one transaction, in which every statement is idempotent."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from shared.database import transaction
from shared.failure import Kind, is_duplicate, kind_of
from writer import sql
from writer.ack_repetitions import merge_acks
from writer.copy_format import encode
from writer.dead_letter import DeadLetter, dead_letter_row, renamed
from writer.devices import DeviceRegistry, one_of_each_device
from writer.duplicates import Messages, Wariness, unstored, unstored_of_mostly_new, without_repetitions
from writer.measures import Measure
from writer.outcome import Decoded, Rejected, Settleable

Copy = Callable[[Any, Messages], Awaitable[int]]  # how many rows were new
Find = Callable[[Any, Messages], Awaitable[Messages]]

log = logging.getLogger(__name__)


@dataclass
class Stored:
    """What one transaction has changed, for the metrics."""

    points: int = 0
    duplicates: Counter[str] = field(default_factory=Counter)  # telem, ack, event
    dead_letters: Counter[str] = field(default_factory=Counter)  # by error class


class Store:
    """Stores batches. Raises what asyncpg raises; then nothing of the batch is stored."""

    def __init__(self, pool: Any, devices: DeviceRegistry) -> None:
        self._pool = pool
        self._devices = devices
        self._wary = Wariness()

    async def store(self, batch: Sequence[Settleable]) -> Stored:
        """All of the batch, or none of it.

        New rows go straight into the table. When one of them is there already, the transaction is refused and begun
        anew by another way of those below, that costs more and minds more.
        """
        decoded = [outcome for outcome in batch if isinstance(outcome, Decoded)]
        rejected = [outcome for outcome in batch if isinstance(outcome, Rejected)]
        stored = await self._store(decoded, rejected, self._copies())
        points = sum(len(outcome.measures.readings) for outcome in decoded)
        self._wary.learn(points, stored.points)
        stored.duplicates["telem"] = points - stored.points + sum(outcome.repeated for outcome in decoded)
        return stored

    def _copies(self) -> Sequence[Copy]:
        careful = partial(_copy_unstored, find=unstored if self._wary.of_all else unstored_of_mostly_new)
        return (careful, _copy_staged) if self._wary else (_copy, careful, _copy_staged)

    async def _store(self, decoded: list[Decoded], rejected: list[Rejected], copies: Sequence[Copy]) -> Stored:
        copy, *others = copies
        try:
            return await self._transact(decoded, rejected, copy)
        except Exception as error:
            if not (is_duplicate(error) and others):
                raise
        return await self._store(decoded, rejected, others)

    async def _transact(self, decoded: list[Decoded], rejected: list[Rejected], copy: Copy) -> Stored:
        stored = Stored()
        async with transaction(self._pool) as connection:
            if messages := [outcome.measures for outcome in decoded if outcome.measures.readings]:
                stored.points = await copy(connection, messages)
            await _upsert_acks(connection, decoded, stored)
            await _insert_events(connection, decoded, stored)
            await _insert_dead_letters(connection, rejected, stored)
            sightings = one_of_each_device(outcome.device for outcome in decoded)
            due = self._devices.due(sightings)
            await _execute(connection, sql.UPSERT_DEVICES, due)
        self._devices.committed(sightings, due)
        return stored

    async def write_overdue_devices(self, now: datetime) -> None:
        """Write what was withheld of devices; what the database refuses of it is given up, as no message is."""
        overdue = self._devices.overdue(now)
        if not overdue:
            return
        try:
            async with transaction(self._pool) as connection:
                await _execute(connection, sql.UPSERT_DEVICES, overdue)
        except Exception as error:
            if kind_of(error) is Kind.OUTAGE:
                raise
            log.exception("giving up changes of %d devices", len(overdue))
        self._devices.written(overdue)


async def _copy(connection: Any, messages: Messages) -> int:
    await _copy_into(connection, "ts_measure", messages)
    return sum(map(len, messages))


async def _copy_unstored(connection: Any, messages: Messages, find: Find) -> int:
    """Only what is not there yet. A writer that stores the same at this moment still has it refused."""
    new = await find(connection, without_repetitions(messages))
    return await _copy(connection, new) if new else 0


async def _copy_staged(connection: Any, messages: Messages) -> int:
    """Row by row, whatever others are storing."""
    await connection.execute(sql.CREATE_STAGING)
    await _copy_into(connection, "staging", without_repetitions(messages))
    return _affected(await connection.execute(sql.INSERT_STAGED))


async def _copy_into(connection: Any, table: str, messages: Messages) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in encode(messages):
            yield chunk

    await connection.copy_to_table(table, source=chunks(), columns=Measure._fields, format="binary")


async def _upsert_acks(connection: Any, decoded: list[Decoded], stored: Stored) -> None:
    acks = [outcome.ack for outcome in decoded if outcome.ack]
    if rows := merge_acks(acks):
        returned = await connection.fetch(sql.UPSERT_ACKS, *_columns(rows))
        stored.duplicates["ack"] = len(acks) - sum(row["is_new"] for row in returned)


async def _insert_events(connection: Any, decoded: list[Decoded], stored: Stored) -> None:
    events = sorted((outcome.event for outcome in decoded if outcome.event), key=lambda event: event[:3])
    if events:
        stored.duplicates["event"] = len(events) - await _execute(connection, sql.INSERT_EVENTS, events)


async def _insert_dead_letters(connection: Any, rejected: list[Rejected], stored: Stored) -> None:
    if rows := [dead_letter_row(outcome) for outcome in rejected]:
        returned = await connection.fetch(sql.INSERT_DEAD_LETTERS, *_columns(rows))
        if len(returned) < len(rows):
            returned += await _insert_namesakes(connection, rows)
        stored.dead_letters = Counter(row["error_class"] for row in returned)


async def _insert_namesakes(connection: Any, rows: list[DeadLetter]) -> list[Any]:
    """A stream that began anew may give an id again: another message's dead letter must not pass for this one's."""
    keys = [(row.stream, row.entry_id, row.topic, row.payload, row.payload_raw) for row in rows]
    others = await connection.fetch(sql.OTHERS_WITH_THEIR_IDS, *_columns(keys))
    namesakes = [renamed(rows[other["number"] - 1]) for other in others]
    return await connection.fetch(sql.INSERT_DEAD_LETTERS, *_columns(namesakes)) if namesakes else []


async def _execute(connection: Any, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Run a statement that takes its rows as one array a column; returns how many rows it affected."""
    return _affected(await connection.execute(statement, *_columns(rows))) if rows else 0


def _columns(rows: Iterable[tuple[Any, ...]]) -> Iterable[tuple[Any, ...]]:
    return zip(*rows, strict=True)


def _affected(status: str) -> int:
    return int(status.rpartition(" ")[2])
