"""One device, from the views of the schema `tenant`. Each part has its own statement: if one takes too long, or this
role may not read its view, the others are still shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import asyncpg

from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.dlq.table import LIST, NOW
from traksense_ingest.shared.sql import statements

T = TypeVar("T")
Rows = Sequence[dict[str, Any]]

POINTS, CHARTS = 200, 50  # of a page: the points that are shown, and those of them with a chart
LATEST = 20  # commands, and events
LETTERS, LETTERS_SEARCHED = 10, 100_000  # no index has the topic, so only the newest ones are searched
STEP_S = 900  # of a chart
STEPS = 86_400 // STEP_S
STATEMENT_S = 2.0
AGGREGATES = ("5m", "1m")  # of which a step is a multiple; the first one that exists is read

_statements = statements("traksense_ingest.ops.devices")


class Unread(NamedTuple):
    """A part that is not shown, and why."""

    why: str


@dataclass(frozen=True)
class Point:
    """A point's newest row, and its last day in steps of STEP_S; None is a step without a value."""

    name: str
    ts: datetime
    value: float | bool | str | None  # None: the sensor had no reading
    unit: str | None
    day: Sequence[float | None] | None  # None: there is nothing to draw


@dataclass(frozen=True)
class Points:
    """Some points of a device, by name."""

    shown: Sequence[Point]
    next: str | None  # after this one there are more
    without_charts: Unread | None


@dataclass(frozen=True)
class OneDevice:
    """One device."""

    status: dict[str, Any]
    about: Rows | Unread  # one row: first_seen, meta
    points: Points | Unread
    commands: Rows | Unread
    events: Rows | Unread
    letters: Rows | Unread


async def read_device(connection: Any, tenant: str, device: str, points_after: str | None) -> OneDevice | None:
    """None if there is no such device. Reads in one transaction; its settings end with it. Raises what asyncpg raises
    if the connection is lost."""
    async with connection.transaction(readonly=True):
        await connection.fetch(_statements["tenant"], tenant, str(round(STATEMENT_S * 1000)))
        status = await connection.fetchrow(_statements["device"], tenant, device)
        if status is None:
            return None
        reader = _Reader(connection, tenant, device)
        return OneDevice(
            dict(status),
            await reader.rows("about", device),
            await reader.points(points_after),
            await reader.rows("commands", device, LATEST),
            await reader.rows("events", device, LATEST),
            await reader.letters(),
        )


class _Reader:
    """Reads in a transaction for one tenant."""

    def __init__(self, connection: Any, tenant: str, device: str) -> None:
        self._connection = connection
        self._tenant = tenant
        self._device = device

    async def rows(self, statement: str, *arguments: Any) -> Rows | Unread:
        """The rows of a statement."""
        return await self._read(lambda: self._fetch(_statements[statement], *arguments))

    async def points(self, after: str | None) -> Points | Unread:
        """A page of them."""
        rows = await self.rows("latest", self._device, after, POINTS + 1)
        if isinstance(rows, Unread):
            return rows
        shown = rows[:POINTS]
        charted = [row["point_id"] for row in shown if row["v_num"] is not None or row["v_bool"] is not None][:CHARTS]
        days = await self._read(lambda: self._days(charted)) if charted else {}
        known = {} if isinstance(days, Unread) else days
        return Points(
            [_point(row, known.get(row["point_id"])) for row in shown],
            shown[-1]["point_id"] if len(rows) > POINTS else None,
            days if isinstance(days, Unread) else None,
        )

    async def letters(self) -> Rows | Unread:
        """The newest dead letters. Only the topic says from which device a rejected message is."""
        return await self._read(self._newest_letters)

    async def _newest_letters(self) -> Rows:
        last = await self._connection.fetchval(NOW)
        chosen = Selection(tenant=self._tenant, device=self._device, first=last - LETTERS_SEARCHED + 1)
        return await self._fetch(LIST, *chosen.arguments, LETTERS)

    async def _days(self, points: Sequence[str]) -> dict[str, list[float | None]]:
        """By point. The steps begin at full quarters of an hour; the last one is not complete."""
        days: dict[str, list[float | None]] = {}
        end = await self._connection.fetchval(_statements["end_of_day"], STEP_S)
        for row in await self._fetch(await self._day_statement(), self._device, points, STEP_S, end, self._tenant):
            days.setdefault(row["point_id"], [None] * STEPS)[row["step"]] = row["value"]
        return days

    async def _day_statement(self) -> str:
        for name in AGGREGATES:
            if await self._connection.fetchval(_statements["has_aggregate"].format(name=name)):
                return _statements["day_of_aggregate"].format(name=name)
        return _statements["day_of_rows"]

    async def _fetch(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._connection.fetch(statement, *arguments)]

    async def _read(self, question: Callable[[], Awaitable[T]]) -> T | Unread:
        """In a savepoint: the transaction continues after an error."""
        try:
            async with self._connection.transaction():
                return await question()
        except asyncpg.QueryCanceledError:
            return Unread(f"it took the database longer than {STATEMENT_S:g} s")
        except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError) as error:
            return Unread(str(error))


def _point(row: dict[str, Any], day: Sequence[float | None] | None) -> Point:
    value = next((row[name] for name in ("v_num", "v_bool", "v_text") if row[name] is not None), None)
    return Point(row["point_id"], row["ts"], value, row["unit"], day)
