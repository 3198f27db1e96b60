"""A batch into the database: one transaction, in which every statement is idempotent."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

from shared.database import transaction
from shared.failure import Kind, is_duplicate, kind_of
from writer import sql
from writer.ack_repetitions import merge_acks
from writer.copy_format import encode
from writer.dead_letter import DeadLetter, dead_letter_row, renamed
from writer.devices import DeviceRegistry
from writer.outcome import Decoded, Measure, Rejected, Settleable

Messages = Sequence[Sequence[Measure]]  # the rows of each

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

    async def store(self, batch: Sequence[Settleable]) -> Stored:
        """All of the batch, or none of it.

        New rows go straight into the table. Only when one of them is there already is the transaction begun
        anew, through a staging table: 225 000 rows/s against 127 000.
        """
        decoded = [outcome for outcome in batch if isinstance(outcome, Decoded)]
        rejected = [outcome for outcome in batch if isinstance(outcome, Rejected)]
        messages = [outcome.measures for outcome in decoded if outcome.measures]
        try:
            stored = await self._transact(decoded, rejected, messages, staged=False)
        except Exception as error:
            if not is_duplicate(error):
                raise
            stored = await self._transact(decoded, rejected, first_of_each_key(messages), staged=True)
        points = sum(len(outcome.measures) + outcome.repeated for outcome in decoded)
        stored.duplicates["telem"] = points - stored.points
        return stored

    async def _transact(
        self, decoded: list[Decoded], rejected: list[Rejected], messages: Messages, *, staged: bool
    ) -> Stored:
        stored = Stored()
        async with transaction(self._pool) as connection:
            if messages:
                stored.points = await (_copy_staged if staged else _copy)(connection, messages)
            await _upsert_acks(connection, decoded, stored)
            await _insert_events(connection, decoded, stored)
            await _insert_dead_letters(connection, rejected, stored)
            sightings = [outcome.device for outcome in decoded]
            due = self._devices.due(sightings)
            await _execute(connection, sql.UPSERT_DEVICES, due)
        self._devices.committed(sightings, due)
        return stored

    async def write_overdue_devices(self, now: datetime) -> None:
        """Write what was withheld of devices; what the database refuses of it is given up, as no message is."""
        overdue = self._devices.overdue(now)
        try:
            async with transaction(self._pool) as connection:
                await _execute(connection, sql.UPSERT_DEVICES, overdue)
        except Exception as error:
            if kind_of(error) is Kind.OUTAGE:
                raise
            log.exception("giving up changes of %d devices", len(overdue))
        self._devices.written(overdue)


def first_of_each_key(messages: Messages) -> Messages:
    """Of rows that say something of the same point at the same moment, the one that came first."""
    by_key: dict[tuple[object, ...], Measure] = {}
    for measure in chain.from_iterable(messages):
        by_key.setdefault(measure[:4], measure)
    return [(measure,) for measure in by_key.values()]


async def _copy(connection: Any, messages: Messages) -> int:
    await _copy_into(connection, "ts_measure", messages)
    return sum(map(len, messages))


async def _copy_staged(connection: Any, messages: Messages) -> int:
    await connection.execute(sql.CREATE_STAGING)
    await _copy_into(connection, "staging", messages)
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
