"""`/`: is the pipeline healthy, and which part is not?"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from traksense_ingest.ops.console.live.charts import Series, chart
from traksense_ingest.ops.console.live.feed import KEPT, PERIOD_S, Sample
from traksense_ingest.ops.console.live.stages import stages_of
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.visit import Visit
from traksense_ingest.ops.status.mappings import own_mappings
from traksense_ingest.ops.status.processes import (
    broker_of,
    gone_receivers,
    level_of_receiver,
    level_of_writer,
    pending_by_writer,
    receiver_note,
)
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.streams import Sums, are_folded, balances, rows_of
from traksense_ingest.ops.terminal import latency, rate
from traksense_ingest.shared.streams.heartbeat import Receiver, Writer
from traksense_ingest.shared.streams.keys import number_of

PROCESSES_MAX = 50  # rows of a table
WINDOW_S = KEPT * PERIOD_S


async def show(visit: Visit) -> Response:
    """The whole pipeline, from the broker to the database."""
    status, samples = await visit.console.feed.status(), list(visit.console.feed.samples)
    receivers = [each for each in status.receivers or () if not each.is_gone]
    writers, pending = status.writers or (), pending_by_writer(status.shards)
    return await visit.render(
        "pipeline.html",
        status=status,
        stages=list(stages_of(status)),
        rows=_rows(status),
        numbers=[number_of(shard.stream) for shard in status.shards] if are_folded(status.shards) else [],
        sums=Sums.of(status.shards),
        faults=[] if status.balanced else [line.plain for line in balances(status)],
        charts=_charts(samples),
        receivers=[_receiver(each) for each in receivers[:PROCESSES_MAX]],
        more_receivers=max(0, len(receivers) - PROCESSES_MAX),
        gone=[line.plain for line in gone_receivers(status.receivers)],
        writers=[_writer(each, pending.get(each.name, 0)) for each in writers[:PROCESSES_MAX]],
        more_writers=max(0, len(writers) - PROCESSES_MAX),
    )


def _rows(status: Status) -> list[dict[str, Any]]:
    """The streams as `status` shows them; a row of one stream links to its page."""
    return [
        {
            "name": row.name,
            "number": number_of(row.name) if row.shards[0].stream == row.name else None,
            "in_stream": row.in_stream,
            "longest": row.longest,
            "oldest_s": row.oldest_s,
            "in_rate": row.rate(status, "added"),
            "out_rate": row.rate(status, "settled"),
            "note": row.note,
            "level": row.level(status),
        }
        for row in (rows_of(status) if status.now else ())
    ]


def _charts(samples: list[Sample]) -> list[Any]:
    moments = [sample.at.timestamp() for sample in samples]
    return [
        chart(
            "Messages/s, in and out",
            moments,
            [Series("in", "in", [s.in_rate for s in samples]), Series("out", "out", [s.out_rate for s in samples])],
            _rate,
            WINDOW_S,
        ),
        chart(
            "Latency, from device to COMMIT",
            moments,
            [Series("p50", "p50", [s.p50_s for s in samples]), Series("p99", "p99", [s.p99_s for s in samples])],
            latency,
            WINDOW_S,
        ),
    ]


def _rate(per_s: float | None) -> str:
    return "–" if per_s is None else f"{rate(per_s)}/s"


def _receiver(receiver: Receiver) -> dict[str, Any]:
    return {
        "name": receiver.client_id,
        "level": level_of_receiver(receiver),
        "broker": broker_of(receiver),
        "in_rate": receiver.appended_per_s,
        "idle_s": receiver.idle_s,
        "note": receiver_note(receiver),
        "waits": receiver.waits,
        "mappings": own_mappings(receiver.mappings),
        "reload_error": receiver.reload_error,
    }


def _writer(writer: Writer, pending: int) -> dict[str, Any]:
    return {
        "name": writer.name,
        "level": level_of_writer(writer),
        "rows_per_s": writer.rows_per_s,
        "p50_s": writer.p50_s,
        "p99_s": writer.p99_s,
        "pending": pending,
        "idle_s": writer.idle_s,
        "waits": writer.waits,
        "mappings": own_mappings(writer.mappings),
        "reload_error": writer.reload_error,
    }


PAGES = (Page("/", show),)
