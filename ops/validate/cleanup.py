"""The end of a run: wait until nothing of its own can still arrive, then remove its tenant."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ops.validate import sql
from ops.validate.probe import UNREACHABLE, Probe
from shared import database
from shared.failure import describe

log = logging.getLogger(__name__)


async def clean_up(probe: Probe) -> str | None:
    """Remove the run's tenant; returns, and logs, what may be left and the SQL that removes it, or None.

    Interrupted while it waits, it removes what has arrived, logs the rest and lets the interruption pass.
    """
    if not probe.published:
        return None
    try:
        missing = await _wait_and_remove(probe)
    except UNREACHABLE as error:
        return _left(probe, f"its rows could not be removed ({describe(error)})")
    except asyncio.CancelledError:
        _left(probe, "messages under way when it was interrupted may still arrive")
        raise
    return _left(probe, f"{missing} of its messages did not arrive and may still do so") if missing > 0 else None


async def _wait_and_remove(probe: Probe) -> int:
    """How many messages have not arrived within the time-out."""
    connection = await database.connect(probe.settings.database_url)  # the probe's own may be lost or in use
    try:
        return await _wait(probe, connection)
    finally:
        try:
            await _remove(connection, probe.tenant)
        finally:
            connection.terminate()


async def _wait(probe: Probe, connection: Any) -> int:
    arrived = await probe.count_messages(connection)
    if arrived < probe.published:
        rest = probe.published - arrived
        log.warning("waiting up to %g s for %d messages that are still under way", probe.options.timeout, rest)
    arrived = await probe.look_until(lambda: probe.count_messages(connection), lambda count: count >= probe.published)
    return probe.published - arrived


async def _remove(connection: Any, tenant: str) -> None:
    async with connection.transaction():
        for statement in sql.removals(tenant):
            await connection.execute(statement)


def _left(probe: Probe, what: str) -> str:
    left = f"tenant {probe.tenant}: {what}; to remove them: {'; '.join(sql.removals(probe.tenant))};"
    log.warning("%s", left)
    return left
