"""The view device_status: the statements of `queries.sql`, and a connection for one command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from traksense_ingest.ops.database import opened
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
    counted = {row["status"]: row["devices"] for row in await connection.fetch(COUNT, *selection)}
    counts = {status: counted.get(status, 0) for status in DEVICE_STATUSES}
    rows = await connection.fetch(LIST, *selection, limit) if limit else []
    return Found(counts, [dict(row) for row in rows])
