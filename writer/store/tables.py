"""A batch into the tables: one transaction, in which every statement is idempotent."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

from traksense_ingest.shared.database import transaction
from traksense_ingest.shared.failure import Kind, is_duplicate, is_refusal, kind_of
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.outcome import (
    AckRow,
    Birth,
    CommandRow,
    Decoded,
    EventRow,
    Rejected,
    Rows,
    Sighting,
    Storable,
)
from traksense_ingest.writer.store import sql
from traksense_ingest.writer.store.acks import upsert_acks
from traksense_ingest.writer.store.births import upsert_births
from traksense_ingest.writer.store.commands import upsert_commands
from traksense_ingest.writer.store.copy_measures import Copy, copy_all, copy_staged, ways_to_copy
from traksense_ingest.writer.store.dead_letter import insert_dead_letters
from traksense_ingest.writer.store.device_state import heard
from traksense_ingest.writer.store.devices import DeviceRegistry, DeviceRow, one_of_each_device
from traksense_ingest.writer.store.duplicates import DuplicateTracker, keys_of, without_repetitions
from traksense_ingest.writer.store.points import rows_of

log = logging.getLogger(__name__)


@dataclass(slots=True)
class BatchRows:
    """What the messages of a batch are in the tables."""

    measures: list[Measures] = field(default_factory=list)  # each with one row at least
    current: list[Measures] = field(default_factory=list)  # those of them that say what is so now
    past: list[Measures] = field(default_factory=list)  # the others, which are retained or replayed
    points: int = 0  # rows of them
    repeated: int = 0  # points that their own message has twice
    same_point: Counter[str] = field(default_factory=Counter)  # readings that were dropped, by mapping
    acks: list[tuple[AckRow, bool]] = field(default_factory=list)  # with whether it is retained
    commands: list[CommandRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    states: list[EventRow] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    retained_sightings: list[Sighting] = field(default_factory=list)
    replayed_sightings: list[Sighting] = field(default_factory=list)
    births: list[tuple[str, Birth]] = field(default_factory=list)  # each with its tenant
    rejected: list[Rejected] = field(default_factory=list)

    def add(self, outcome: Decoded) -> None:
        """A message's rows to those of their table."""
        entry, rows = outcome.entry, outcome.rows
        in_time = self.past if entry.retained or entry.replayed else self.current
        if outcome.same_point or len(rows) != 1:
            rows = self._count_same_points(outcome)
        for one in rows:
            match one:
                case Measures():
                    self.repeated += one.repeated
                    if one.readings:
                        self.measures.append(one)
                        in_time.append(one)
                        self.points += len(one.readings)
                case _:
                    self._add_row(one, outcome)
        if outcome.birth is not None:
            self.births.append((outcome.birth.tenant_id or outcome.tenant_id or "", outcome.birth))
        if entry.retained:
            self.retained_sightings += outcome.devices
        elif entry.replayed:
            self.replayed_sightings += outcome.devices
        else:
            self.sightings += outcome.devices

    def _add_row(self, row: AckRow | CommandRow | EventRow, outcome: Decoded) -> None:
        match row:
            case AckRow():
                self.acks.append((row, outcome.entry.retained))
            case CommandRow():
                self.commands.append(row)
            case EventRow():
                (self.states if outcome.kind == "state" else self.events).append(row)
            case _:
                assert_never(row)

    def _count_same_points(self, outcome: Decoded) -> tuple[Rows, ...]:
        """Its rows: of readings of the same point at the same moment the first one. The others are counted."""
        measures = [rows for rows in outcome.rows if isinstance(rows, Measures)]
        unique = without_repetitions(measures)
        dropped = outcome.same_point + _readings(measures) - _readings(unique)
        if dropped:
            self.same_point[outcome.mapping] += dropped
        return (*unique, *(rows for rows in outcome.rows if not isinstance(rows, Measures)))


@dataclass
class Changes:
    """What one transaction has changed, for the metrics."""

    points: int = 0
    duplicates: Counter[str] = field(default_factory=Counter)  # by shared.messages.KINDS
    same_point: Counter[str] = field(default_factory=Counter)  # readings that were dropped, by mapping
    dead_letters: Counter[str] = field(default_factory=Counter)  # by error class


class Tables:
    """Writes batches. Raises what asyncpg raises, and KeptOut; then nothing of the batch is stored."""

    def __init__(self, pool: Any, devices: DeviceRegistry) -> None:
        self._pool = pool
        self._devices = devices
        self._duplicates = DuplicateTracker()

    async def write(self, batch: Sequence[Storable]) -> Changes:
        """All of the batch, or none of it."""
        rows = _by_table(batch)
        keys = keys_of(rows.measures)
        repetitions = self._duplicates.observe(keys)
        changes = await self._write(rows, ways_to_copy(self._duplicates, repetitions))
        repeated = sum(len(rows.measures[index]) for index, key in enumerate(keys) if key in repetitions)
        self._duplicates.learn(rows.points, changes.points, repeated)
        return changes

    async def _write(self, rows: BatchRows, ways: Sequence[Copy]) -> Changes:
        """When one way to copy is refused because a row is there already, the transaction is rolled back, and
        repeated in the next way."""
        *ways, last = ways
        for copy in ways:
            try:
                return await self._transact(rows, copy)
            except Exception as error:
                if not is_duplicate(error):
                    raise
        return await self._transact(rows, last)

    async def _transact(self, rows: BatchRows, copy: Copy) -> Changes:
        async with transaction(self._pool) as connection:
            changes = await _write_messages(connection, rows, copy)
            sightings = one_of_each_device(rows.sightings)
            due, heard_of = self._devices.due(sightings), heard(rows.sightings, len(sightings), rows.current)
            devices = self._devices.rows(due, heard_of)
            if rows.replayed_sightings:
                devices = sorted([*devices, *_past_rows(rows, sightings)])
            await sql.execute(connection, sql.UPSERT_DEVICES, devices)
            retained = self._devices.unknown(_latest(rows.retained_sightings))
            await sql.execute(connection, sql.INSERT_RETAINED_DEVICES, retained)
            points = self._devices.new_points(rows.current)
            await sql.execute(connection, sql.UPSERT_POINTS, rows_of(points))
            await sql.execute(connection, sql.INSERT_PAST_POINTS, rows_of(self._devices.new_points(rows.past)))
        self._devices.committed(sightings, due, points, heard_of)
        return changes

    async def rehearse(self, outcome: Storable) -> None:
        """Run every statement that stores a message, as for a new one and as for one that is there already, and roll
        them back. Raises what any of them raises, or a deferred constraint.

        `copy_new` and `copy_others` are left out, since they add nothing: `copy_staged` inserts and asks for new points
        as well, as all are there.
        """
        rows = _by_table([outcome])
        with contextlib.suppress(_RolledBack):
            async with transaction(self._pool) as connection:
                for copy in (copy_all, copy_staged):
                    await _write_messages(connection, rows, copy)
                sightings = one_of_each_device([*rows.sightings, *rows.retained_sightings, *rows.replayed_sightings])
                await sql.execute(connection, sql.UPSERT_DEVICES, DeviceRegistry().rows(sightings))
                await sql.execute(connection, sql.UPSERT_POINTS, rows_of(DeviceRegistry().new_points(rows.measures)))
                await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                raise _RolledBack

    async def write_overdue_devices(self, now: datetime) -> None:
        """Write the changes of devices that were postponed; what the database refuses is logged and dropped."""
        overdue = self._devices.overdue(now)
        if not overdue:
            return
        try:
            async with transaction(self._pool) as connection:
                await sql.execute(connection, sql.UPSERT_DEVICES, self._devices.rows(overdue))
        except Exception as error:
            if kind_of(error) is Kind.OUTAGE and not is_refusal(error):
                raise
            log.exception("giving up changes of %d devices", len(overdue), extra={"count": len(overdue)})
        self._devices.written(overdue)


class _RolledBack(Exception):
    """Ends the transaction of a canary, to roll it back."""


def _by_table(batch: Sequence[Storable]) -> BatchRows:
    rows = BatchRows()
    for outcome in batch:
        match outcome:
            case Decoded():
                rows.add(outcome)
            case Rejected():
                rows.rejected.append(outcome)
                if outcome.birth is not None and outcome.tenant_id is not None:
                    rows.births.append((outcome.tenant_id, outcome.birth))
            case _:
                assert_never(outcome)
    return rows


async def _write_messages(connection: Any, rows: BatchRows, copy: Copy) -> Changes:
    """Everything but devices and their points. Raises KeptOut where the database takes a statement and leaves a row
    out."""
    changes = Changes()
    if rows.rejected:
        await connection.execute(sql.LOCK_DEAD_LETTERS, any(outcome.entry.retained for outcome in rows.rejected))
    if rows.measures:
        changes.points = await copy(connection, rows.measures)
    changes.duplicates["telem"] = rows.points - changes.points + rows.repeated
    acks, events = await upsert_acks(connection, rows.acks), await _insert_events(connection, rows.events)
    changes.duplicates["ack"], changes.duplicates["event"] = len(rows.acks) - acks, len(rows.events) - events
    states = await _insert_events(connection, rows.states)
    commands = await upsert_commands(connection, rows.commands)
    if rows.states or rows.commands:
        changes.duplicates["state"] = len(rows.states) - states
        changes.duplicates["cmd"] = len(rows.commands) - commands
    changes.same_point = rows.same_point
    await upsert_births(connection, rows.births)
    changes.dead_letters = await insert_dead_letters(connection, rows.rejected)
    if not (changes.points or acks or events or states or commands or changes.dead_letters):
        await connection.execute(sql.WAIT_FOR_STANDBYS)
    return changes


async def _insert_events(connection: Any, events: Sequence[EventRow]) -> int:
    """Returns how many are new."""
    ordered = sorted(events, key=lambda event: event[:3])
    new = await sql.execute(connection, sql.INSERT_EVENTS, ordered)
    required = [event[:3] for event in ordered if not event.is_replay]
    if new < len(ordered) and required:
        await sql.require(connection, "device_event", sql.MISSING_EVENTS, required)
    return new


def _readings(messages: Sequence[Measures]) -> int:
    return sum(len(measures) + measures.repeated for measures in messages)


def _latest(sightings: Sequence[Sighting]) -> list[Sighting]:
    """Of each device the latest one: retained and replayed messages come in any order."""
    return one_of_each_device(sorted(sightings, key=lambda sighting: sighting.seen))


def _past_rows(rows: BatchRows, known: Sequence[Sighting]) -> list[DeviceRow]:
    """Of devices that only replayed messages are about, which may have the newest reading and say nothing of clocks."""
    readings = heard((), 0, rows.past).readings
    others = _of_others(_latest(rows.replayed_sightings), known)
    return [DeviceRow(*sighting, readings.get(sighting[:2])) for sighting in others]


def _of_others(sightings: Sequence[Sighting], known: Sequence[Sighting]) -> list[Sighting]:
    """Those of devices that the known ones are not about."""
    devices = {sighting[:2] for sighting in known}
    return [sighting for sighting in sightings if sighting[:2] not in devices]
