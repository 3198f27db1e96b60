"""The view device_status: the statements of `queries.sql`, and a connection for one command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from traksense_ingest.ops.database import opened
from traksense_ingest.ops.devices.command import SKEWED_S
from traksense_ingest.shared.config import redacted
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.messages import DEVICE_STATUSES
from traksense_ingest.shared.sql import statements

_statements = statements("traksense_ingest.ops.devices")
SET_INTERVAL = _statements["set_interval"]
COUNT, LIST = (_statements[name].replace("{selected}", _statements["selected"]) for name in ("count", "list"))


class Selection(NamedTuple):
    """All given conditions must hold; None is no condition."""

    tenant: str | None = None
    statuses: Sequence[str] | None = None  # of shared.messages.DEVICE_STATUSES
    skewed_s: float | None = None  # clocks that are off by as much at least
    name: str | None = None  # a text in the device's name; upper and lower case are the same


class Counts(NamedTuple):
    """How many devices there are."""

    by_status: dict[str, int]
    skewed: int  # whose clock is off by SKEWED_S or more

    @property
    def total(self) -> int:
        return sum(self.by_status.values())


class Place(NamedTuple):
    """Where a page of the list ends: the values that it is sorted by, of its last device."""

    position: float
    tenant: str
    device: str


class Found(NamedTuple):
    """How many devices of each status there are, and rows of the view."""

    counts: dict[str, int]
    devices: list[dict[str, Any]]


@asynccontextmanager
async def open_view(url: str) -> AsyncIterator[Any]:
    """A connection for as long as the block; raises IngestError, with one line that names the variable."""
    async with opened(url, "the tables' owner or as traksense_writer") as connection:
        if await connection.fetchval("SELECT to_regclass('device_status')") is None:
            where = f"DATABASE_URL={redacted(url)}"
            raise ConfigurationError(f"{where}: there is no view device_status; run `traksense-ingest migrate`")
        yield connection


async def find(connection: Any, selection: Selection, limit: int) -> Found:
    """The counts of all that are selected, and at most `limit` of them. Raises what asyncpg raises."""
    counts = await count(connection, selection)
    devices, _ = await read_page(connection, selection, limit) if limit else ([], None)
    return Found(counts.by_status, devices)


async def count(connection: Any, selection: Selection) -> Counts:
    """Of all that are selected. Raises what asyncpg raises."""
    rows = await connection.fetch(COUNT, *selection, SKEWED_S)
    counted = {row["status"]: row["devices"] for row in rows}
    return Counts({status: counted.get(status, 0) for status in DEVICE_STATUSES}, sum(row["skewed"] for row in rows))


async def read_page(
    connection: Any, selection: Selection, limit: int, after: Place | None = None
) -> tuple[list[dict[str, Any]], Place | None]:
    """At most `limit` rows of the view, after a place, and the place where they end if there are more.

    Those that are silent, offline or late come first, then those whose clock is wrong; with `skewed_s` the largest
    clock errors. Raises what asyncpg raises.
    """
    rows = await connection.fetch(LIST, *selection, SKEWED_S, *(after or (None, None, None)), limit + 1)
    devices = [dict(row) for row in rows[:limit]]
    positions = [device.pop("position") for device in devices]
    if len(rows) <= limit:
        return devices, None
    return devices, Place(positions[-1], devices[-1]["tenant_id"], devices[-1]["device_id"])
