"""How many devices are online, late, silent or offline, for the metrics. It is counted in the view device_status, which
compares each device with the time now: what is silent sends nothing that could be counted."""

from __future__ import annotations

from typing import Any

from traksense_ingest.shared import database
from traksense_ingest.shared.failure import Kind, kind_of
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.runtime.retry import watch
from traksense_ingest.writer.store import sql

PERIOD_S = 30.0
ANSWER_S = 10.0  # 100 000 devices take half a second
TENANTS = 100  # with a label of their own, so at most 404 series


async def watch_device_counts(pool: Any, metrics: WriterMetrics) -> None:
    """Keep the counts up to date. Without the database there are none; others wait for it and log its outage."""

    async def count() -> None:
        try:
            found = await database.read(pool, lambda one: one.fetch(sql.COUNT_DEVICES, TENANTS, timeout=ANSWER_S))
        except Exception as error:
            metrics.show_devices({})
            if kind_of(error) is not Kind.OUTAGE:
                raise
        else:
            metrics.show_devices({(row["tenant"], row["status"]): row["devices"] for row in found})

    await watch("the status of devices", count, PERIOD_S)
