"""What the variables ask of the database: applied in one transaction, or what to do if this database can't do it."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from traksense_ingest.ops.schema import Refused, sql
from traksense_ingest.ops.schema.aggregates import drop_aggregates, existing_aggregates, update_aggregates
from traksense_ingest.ops.schema.migrate import migration_lock
from traksense_ingest.ops.schema.policies import (
    compress,
    compressed_chunks,
    keep_dead_letters,
    keep_rows,
    set_ack_timeout,
)
from traksense_ingest.shared.config import Settings

OLDEST = (2, 18)  # TimescaleDB

# Some changes wait until nobody uses ts_measure, and writers queue behind them: so give up soon, and try again.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"

log = logging.getLogger(__name__)


class DesiredPolicies(NamedTuple):
    """Days, None where something is off, the aggregates' names, and seconds."""

    retention: int | None = None
    dlq_retention: int | None = None
    compress_after: int | None = None
    aggregates: tuple[str, ...] = ()
    ack_timeout: int = 60

    @classmethod
    def from_settings(cls, settings: Settings) -> DesiredPolicies:
        """What these settings ask for."""
        return cls(
            settings.ingest_retention_days,
            settings.ingest_dlq_retention_days,
            settings.ingest_compress_after_days,
            settings.ingest_aggregates,
            settings.ingest_ack_timeout_s,
        )


async def unsupported_reason(connection: Any) -> str | None:
    """Why this database has no policies and aggregates, or None."""
    found = await connection.fetchrow(sql.EDITION)
    if found is None:
        return "this PostgreSQL has no timescaledb"
    if found["license"] != "timescale":
        return (
            "this timescaledb is its Apache edition; the Community edition has them (timescaledb.license = 'timescale')"
        )
    if _version(found["version"]) < OLDEST:
        return f"timescaledb {found['version']} is too old, 2.18 or newer is needed"
    if not await connection.fetchval(sql.IS_HYPERTABLE):
        return "ts_measure was created as a plain table, before timescaledb was installed"
    return None


async def alternatives(connection: Any, desired: DesiredPolicies, reason: str) -> list[str]:
    """A line for each variable that has no effect here, with what to do instead."""
    lines = []
    if desired.retention:
        instead = await _retention_by_cron(connection, desired.retention)
        lines.append(f"INGEST_RETENTION_DAYS={desired.retention}: {reason}; {instead}")
    if desired.dlq_retention:
        command = f"traksense-ingest dlq purge --older-than {desired.dlq_retention}d --yes"
        lines.append(f"INGEST_DLQ_RETENTION_DAYS={desired.dlq_retention}: {reason}; let cron run `{command}`")
    if desired.compress_after:
        lines.append(f"INGEST_COMPRESS_AFTER_DAYS={desired.compress_after}: {reason}; nothing is compressed")
    if desired.aggregates:
        lines.append(f"INGEST_AGGREGATES={','.join(desired.aggregates)}: {reason}; there are no aggregates")
    return lines


async def _retention_by_cron(connection: Any, days: int) -> str:
    is_hypertable = await connection.fetchrow(sql.EDITION) and await connection.fetchval(sql.IS_HYPERTABLE)
    statement = (
        f"SELECT drop_chunks('public.ts_measure', INTERVAL '{days} days')"
        if is_hypertable
        else f"DELETE FROM public.ts_measure WHERE ts < now() - INTERVAL '{days} days'"  # noqa: S608
    )
    return f"let cron run `{statement}` as the tables' owner"


def _version(text: str) -> tuple[int, ...]:
    """Of `2.28.4` or `2.29.0-dev`."""
    return tuple(int(part) for part in text.partition("-")[0].split("."))


async def shape(url: str, desired: DesiredPolicies, *, drop_others: bool = False) -> list[str]:
    """Apply it; returns a line for each change. What is unsupported here, or stays as it is, is a warning in the log.

    Raises Refused, and what asyncpg raises; then nothing is changed.
    """
    async with migration_lock(url) as connection:
        changes = await set_ack_timeout(connection, desired.ack_timeout)
        if reason := await unsupported_reason(connection):
            _warn(await alternatives(connection, desired, reason))
            return changes
        await connection.execute(_LOCK_TIMEOUT)
        changes += await _change(connection, desired, drop_others)
        _warn(await _leftovers(connection, desired))
        return changes


async def _change(connection: Any, desired: DesiredPolicies, drop_others: bool) -> list[str]:
    """The aggregates' windows first: they must not reach beyond the retention."""
    before = await _readers_of_all_tenants(connection)
    changes = await drop_aggregates(connection, desired.aggregates) if drop_others else []
    changes += await update_aggregates(connection, desired.aggregates, desired.retention)
    changes += await compress(connection, desired.compress_after)
    changes += await keep_rows(connection, desired.retention)
    changes += await keep_dead_letters(connection, desired.dlq_retention)
    _check_readers(before, await _readers_of_all_tenants(connection))
    return changes


def _check_readers(before: list[str], after: list[str]) -> None:
    """A role that row level security restricts must not gain access when it is switched off."""
    if gained := [role for role in after if role not in before]:
        raise Refused(
            f"nothing was changed: {', '.join(gained)} would read every tenant's telemetry, as neither compressed "
            "chunks nor aggregates have row level security; REVOKE what it has on ts_measure, and grant it "
            "traksense_reader or the views in the schema tenant"
        )
    if after:
        _warn([f"{', '.join(after)} may read every tenant's telemetry: ts_measure or aggregates without row security"])


async def _readers_of_all_tenants(connection: Any) -> list[str]:
    return [row["role"] for row in await connection.fetch(sql.WHO_READS_ALL)]


async def _leftovers(connection: Any, desired: DesiredPolicies) -> list[str]:
    lines = [
        f"aggregates.ts_measure_{one.name} is not in INGEST_AGGREGATES and stays, with {one.size}: "
        "`traksense-ingest migrate --drop-aggregates` drops it"
        for one in (await existing_aggregates(connection)).values()
        if one.name not in desired.aggregates
    ]
    chunks = await compressed_chunks(connection)
    if chunks and not desired.compress_after:
        lines.append(
            f"{chunks} chunks of ts_measure stay compressed, and row level security stays off until there are none: "
            f"`{sql.DECOMPRESS.strip()}`, then migrate again"
        )
    return lines


def _warn(lines: list[str]) -> None:
    for line in lines:
        log.warning("%s", line)
