"""Make the database as the variables say, in one transaction."""

from __future__ import annotations

import logging
from typing import Any

from ops.migrate import turn
from ops.shape import sql
from ops.shape.aggregates import aggregate, drop, present
from ops.shape.columnstore import compress, compressed_chunks
from ops.shape.edition import advice, lacking
from ops.shape.policies import keep_dead_letters, keep_rows
from ops.shape.refused import Refused
from ops.shape.wanted import Wanted

# Some changes wait until nobody uses ts_measure, and writers wait behind them: so not for long, and then once more.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"

log = logging.getLogger(__name__)


async def shape(url: str, wanted: Wanted, *, drop_aggregates: bool = False) -> list[str]:
    """Make it so; returns a line for each change. What can't be had here, or stays as it is, is a warning in the log.

    Raises Refused, and what asyncpg raises; then nothing is changed.
    """
    async with turn(url) as connection:
        if reason := await lacking(connection):
            _warn(await advice(connection, wanted, reason))
            return []
        async with connection.transaction():
            await connection.execute(_LOCK_TIMEOUT)
            changes = await _change(connection, wanted, drop_aggregates)
        _warn(await _leftovers(connection, wanted))
        return changes


async def _change(connection: Any, wanted: Wanted, drop_aggregates: bool) -> list[str]:
    """The aggregates' windows come before the retention that they must not outreach."""
    before = await _who_reads_all(connection)
    changes = await drop(connection, wanted.aggregates) if drop_aggregates else []
    changes += await aggregate(connection, wanted.aggregates, wanted.retention)
    changes += await compress(connection, wanted.compress_after)
    changes += await keep_rows(connection, wanted.retention)
    changes += await keep_dead_letters(connection, wanted.dlq_retention)
    _check_readers(before, await _who_reads_all(connection))
    return changes


def _check_readers(before: list[str], after: list[str]) -> None:
    """A role that row level security holds back must not be let in by our switching it off."""
    if let_in := [role for role in after if role not in before]:
        raise Refused(
            f"nothing was changed: {', '.join(let_in)} would read every tenant's telemetry, as neither compressed "
            "chunks nor aggregates have row level security; REVOKE what it has on ts_measure, and grant it "
            "traksense_reader or the views in the schema tenant"
        )
    if after:
        _warn([f"{', '.join(after)} may read every tenant's telemetry: ts_measure or aggregates without row security"])


async def _who_reads_all(connection: Any) -> list[str]:
    return [row["role"] for row in await connection.fetch(sql.WHO_READS_ALL)]


async def _leftovers(connection: Any, wanted: Wanted) -> list[str]:
    lines = [
        f"aggregates.ts_measure_{one.name} is not in INGEST_AGGREGATES and stays, with {one.size}: "
        "`traksense-ingest migrate --drop-aggregates` drops it"
        for one in (await present(connection)).values()
        if one.name not in wanted.aggregates
    ]
    chunks = await compressed_chunks(connection)
    if chunks and not wanted.compress_after:
        lines.append(
            f"{chunks} chunks of ts_measure stay compressed, and row level security stays off until there are none: "
            f"`{sql.DECOMPRESS.strip()}`, then migrate again"
        )
    return lines


def _warn(lines: list[str]) -> None:
    for line in lines:
        log.warning("%s", line)
