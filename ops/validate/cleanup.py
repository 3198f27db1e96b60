"""The end of a run: wait until all of its messages have arrived, then remove its tenant."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from traksense_ingest.ops.validate import sql
from traksense_ingest.ops.validate.probe import UNREACHABLE, Probe
from traksense_ingest.shared import database
from traksense_ingest.shared.failure import describe

log = logging.getLogger(__name__)


async def clean_up(probe: Probe) -> str | None:
    """Remove the run's tenant; returns, and logs, what may be left and the SQL that removes it, or None.

    If it is interrupted while it waits, it removes what has arrived, logs the rest and passes the interruption on.
    """
    if not probe.published:
        return None
    try:
        missing = await _wait_and_remove(probe)
    except UNREACHABLE as error:
        return _report_leftover(probe, f"its rows could not be removed ({describe(error)})")
    except asyncio.CancelledError:
        _report_leftover(probe, "messages that were in flight when it was interrupted may still arrive")
        raise
    return (
        _report_leftover(probe, f"{missing} of its messages did not arrive and may still do so")
        if missing > 0
        else None
    )


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
        log.warning("waiting up to %g s for %d messages that have not arrived yet", probe.options.timeout, rest)
    arrived = await probe.poll_until(lambda: probe.count_messages(connection), lambda count: count >= probe.published)
    return probe.published - arrived


async def _remove(connection: Any, tenant: str) -> None:
    async with database.in_transaction(connection):
        for statement in sql.removals(tenant):
            await connection.execute(statement)


def _report_leftover(probe: Probe, what: str) -> str:
    left = f"tenant {probe.tenant}: {what}; to remove them: {'; '.join(sql.removals(probe.tenant))};"
    log.warning("%s", left)
    return left
