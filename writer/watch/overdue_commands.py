"""How many commands have no ACK though they should, for the gauge. Every writer counts all of them."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from traksense_ingest.shared.database import read
from traksense_ingest.shared.failure import Kind, kind_of
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.runtime.retry import watch
from traksense_ingest.writer.store import sql

# Only commands that became overdue in this time are counted. An index finds those that were sent then, and each needs
# one search in the key of cmd_ack, some 5 µs: with 10 commands a second that is 0.2 s.
COUNTED = timedelta(hours=1)
PERIOD_S = 15.0  # no more often than Prometheus asks
ANSWER_S = 5.0


async def watch_commands(pool: Any, metrics: WriterMetrics) -> None:
    """Keep the gauge up to date."""

    async def count() -> None:
        metrics.commands_overdue.set(await overdue(pool))

    await watch("the commands", count, PERIOD_S)


async def overdue(pool: Any) -> float:
    """Their number; NaN while the database can't be asked, which is logged by what stores messages. Raises any other
    error."""

    async def ask(connection: Any) -> Any:
        return await connection.fetchval(sql.OVERDUE_COMMANDS, COUNTED, timeout=ANSWER_S)

    try:
        return float(await read(pool, ask))
    except Exception as error:
        if kind_of(error) is not Kind.OUTAGE:
            raise
        return math.nan
