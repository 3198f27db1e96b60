"""Compression of old chunks, which row level security excludes."""

from __future__ import annotations

from typing import Any

from ops.shape import sql
from ops.shape.policies import find, is_as_wanted


async def compress(connection: Any, days: int | None) -> list[str]:
    """Compress chunks so many days after their end, None never; returns what was changed."""
    present = await find(connection, "policy_compression", "compress_after")
    changes = [] if is_as_wanted(present, days) else [_said(days)]
    if changes and present:
        await connection.execute(sql.REMOVE_COLUMNSTORE_POLICY)
    if days:
        changes += await _enable(connection)
    if changes and days:
        await connection.execute(sql.ADD_COLUMNSTORE_POLICY.format(days=days))
    return changes if days else changes + await _disable(connection)


async def compressed_chunks(connection: Any) -> int:
    """How many chunks are compressed."""
    return int((await connection.fetchrow(sql.COLUMNSTORE))["chunks"])


async def is_enabled(connection: Any) -> bool:
    """Whether chunks may be compressed."""
    return bool((await connection.fetchrow(sql.COLUMNSTORE))["is_enabled"])


async def _enable(connection: Any) -> list[str]:
    if await is_enabled(connection):
        return []
    await connection.execute(sql.DISABLE_ROW_SECURITY)
    await connection.execute(sql.ENABLE_COLUMNSTORE)
    return ["ts_measure: row level security is off; readers read the views in the schema tenant"]


async def _disable(connection: Any) -> list[str]:
    """Only once nothing is compressed any more: TimescaleDB refuses it before."""
    if not await is_enabled(connection) or await compressed_chunks(connection):
        return []
    await connection.execute(sql.DISABLE_COLUMNSTORE)
    await connection.execute(sql.ENABLE_ROW_SECURITY)
    return ["ts_measure: row level security is on again"]


def _said(days: int | None) -> str:
    return f"ts_measure: chunks are compressed after {days} days" if days else "ts_measure: chunks are not compressed"
