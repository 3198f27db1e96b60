"""The dashboard: `python -m deploy.grafana.dashboard` writes it to deploy/grafana/dashboards/traksense-ingest.json.

First what an operator asks at once, then a column for each stage, in the order in which a message passes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard, QueryVariable
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    Panel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.panels import PROMETHEUS, WIDTH, graph, heading, stat
from deploy.grafana.queries import highest, mean, of, quantile, rate

PATH = Path(__file__).parent / "dashboards" / "traksense-ingest.json"

GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"


LONGEST = "pipeline:ingest_longest_stream_size:max"
# Below 1% of the cap growth is that of a single batch.
SECONDS_TO_CAP = (
    f"pipeline:ingest_longest_stream_size:seconds_to_cap and {LONGEST} > 0.01 * pipeline:ingest_queue_max:min"
)
NOT_FILLING = -1


def stats() -> list[Builder[Panel]]:
    """Is it all right? From left to right what runs, how much, how long it can go on, and what went wrong."""
    width = WIDTH // 8
    return [
        stat(
            "Receivers",
            "Receivers that answer Prometheus.",
            f"count({of('ingest_received_messages_total')}) or vector(0)",
            units.Short,
            {None: RED, 1: GREEN},
            width=width,
        ),
        stat(
            "Writers",
            "Writers that answer Prometheus.",
            f"count({of('ingest_points_total')}) or vector(0)",
            units.Short,
            {None: RED, 1: GREEN},
            width=width,
        ),
        stat(
            "Points/s",
            "Rows inserted into ts_measure; duplicates are not counted.",
            rate("ingest_points_total"),
            units.Short,
            {None: BLUE},
            width=width,
        ),
        stat(
            "Backlog",
            "Entries in all streams that no writer has settled.",
            highest("ingest_queue_size"),
            units.Short,
            {None: BLUE},
            width=width,
        ),
        stat(
            "Full in",
            "When the longest stream is at its cap, at the growth of the last 5 minutes; not filling below 1% of it. "
            "Red: within half an hour.",
            f"min({SECONDS_TO_CAP}) or max({LONGEST}) * 0 {NOT_FILLING}",
            units.Seconds,
            {None: GREEN, 0: RED, 1800: ORANGE, 86_400: GREEN},
            texts={NOT_FILLING: "not filling"},
            width=width,
        ),
        stat(
            "p99 latency",
            "From the device's timestamp to COMMIT, of 99% of the messages. A device's clock and a gateway's buffer "
            "are in it; received to committed is below.",
            quantile(0.99, "ingest_latency_seconds"),
            units.Seconds,
            {None: GREEN, 1: ORANGE, 5: RED},
            width=width,
        ),
        stat(
            "Dead letters, 1 h",
            "Rows inserted into ingest_errors in the last hour. traksense-ingest dlq list says why.",
            f"sum(increase({of('ingest_dlq_rows_total')}[1h]))",
            units.Short,
            {None: GREEN, 1: ORANGE},
            width=width,
        ).decimals(0),
        stat(
            "Lost",
            "Entries that left the streams unsettled, by other hands than a writer's. "
            "traksense-ingest status says from which.",
            highest("ingest_lost_entries"),
            units.Short,
            {None: GREEN, 1: RED},
            width=width,
        ),
    ]


def broker(width: int) -> list[Builder[Panel]]:
    """MQTT → receiver."""
    return [
        heading("### Broker → receiver", width=width),
        graph(
            "Messages received",
            "What the broker delivered, redeliveries included; and what is in a stream and acknowledged. The lines "
            "part while receivers withhold acknowledgements.",
            {
                "received": rate("ingest_received_messages_total"),
                "in a stream": rate("ingest_appended_messages_total"),
            },
            units.MessagesPerSecond,
            width=width,
        ),
        graph(
            "Connected to the broker",
            "1 while a receiver is subscribed, else 0.",
            {"{{instance}}": of("ingest_connected", component="broker")},
            units.Short,
            width=width,
        ),
        graph(
            "Dropped",
            "Messages at QoS 0 that came while the stream was full or away. At QoS 1 nothing is dropped.",
            {"dropped": rate("ingest_dropped_messages_total")},
            units.MessagesPerSecond,
            width=width,
        ),
    ]


def stream(width: int) -> list[Builder[Panel]]:
    """Redis."""
    return [
        heading("### Stream", width=width),
        graph(
            "Backlog and cap",
            "Entries that no writer has settled: in all streams, and in the longest one, which is full at the cap.",
            {
                "all streams": highest("ingest_queue_size"),
                "longest stream": highest("ingest_longest_stream_size"),
                "cap of a stream": f"min({of('ingest_queue_max')})",
            },
            units.Short,
            width=width,
        ),
        graph(
            "Append time",
            "To append one batch and, with an append-only file, to have it on disk.",
            {"p50": quantile(0.5, "ingest_append_seconds"), "p99": quantile(0.99, "ingest_append_seconds")},
            units.Seconds,
            width=width,
        ),
        graph(
            "Back-pressure",
            "The share of time that each receiver waited for room in a full stream; above 100% where several of its "
            "shards were full.",
            {"{{instance}}": f"rate({of('ingest_backpressure_seconds_total')}[$__rate_interval])"},
            units.PercentUnit,
            width=width,
        ),
    ]


def writer(width: int) -> list[Builder[Panel]]:
    """Redis Streams → writer."""
    return [
        heading("### Writer", width=width),
        graph(
            "Batch size",
            "Messages a transaction. Small ones are a sign of little load, or of a database that timed out.",
            {"mean": mean("ingest_batch_size"), "p99": quantile(0.99, "ingest_batch_size")},
            units.Short,
            width=width,
        ),
        graph(
            "Redelivered and deferred",
            "Redelivered: own entries after an error, and a dead writer's. Deferred: tries that ended in a bug.",
            {"redelivered": rate("ingest_redeliveries_total"), "deferred": rate("ingest_deferred_total")},
            units.MessagesPerSecond,
            width=width,
        ),
        graph(
            "Pending",
            "Entries that a writer has in hand, or that a dead or failing one left.",
            {"pending": highest("ingest_pending")},
            units.Short,
            width=width,
        ),
    ]


def database(width: int) -> list[Builder[Panel]]:
    """Writer → TimescaleDB."""
    return [
        heading("### Database", width=width),
        graph(
            "Points stored",
            "Rows inserted into ts_measure; and points, ACKs and events that were there already.",
            {"stored": rate("ingest_points_total"), "duplicates": rate("ingest_duplicates_total")},
            units.Short,
            width=width,
        ),
        graph(
            "Commit time",
            "One transaction, from BEGIN to COMMIT.",
            {"p50": quantile(0.5, "ingest_commit_seconds"), "p99": quantile(0.99, "ingest_commit_seconds")},
            units.Seconds,
            width=width,
        ),
        graph(
            "Connected to the database",
            "1 while the database answers a writer, else 0.",
            {"{{instance}}": of("ingest_connected", component="database")},
            units.Short,
            width=width,
        ),
    ]


def whole(width: int) -> list[Builder[Panel]]:
    """What spans the stages."""
    return [
        graph(
            "Latency",
            "To COMMIT: from the device's timestamp, and from the receiver.",
            {
                "device, p50": quantile(0.5, "ingest_latency_seconds"),
                "device, p99": quantile(0.99, "ingest_latency_seconds"),
                "receiver, p50": quantile(0.5, "ingest_transit_seconds"),
                "receiver, p99": quantile(0.99, "ingest_transit_seconds"),
            },
            units.Seconds,
            width=width,
        ),
        graph(
            "Oldest entry",
            "The age of the oldest entry that is not settled. It grows while one is stuck, however small the backlog.",
            {"age": highest("ingest_oldest_entry_age_seconds")},
            units.Seconds,
            width=width,
        ),
        graph(
            "Connected to Redis",
            "1 while Redis answers a process, else 0.",
            {"{{job}} {{instance}}": of("ingest_connected", component="redis")},
            units.Short,
            width=width,
        ),
        graph(
            "Errors by reason",
            "Dead letters by reason; mqtt_error, redis_error and db_error are tries that met an outage.",
            {"{{reason}}": rate("ingest_errors_total", by="reason")},
            units.MessagesPerSecond,
            width=width,
        ),
    ]


def side_by_side(columns: Iterable[list[Builder[Panel]]]) -> Iterable[Builder[Panel]]:
    """Columns of panels in the order in which Grafana fills its rows."""
    return chain.from_iterable(zip(*columns, strict=True))


def choice(name: str, label: str, query: str) -> QueryVariable:
    """A variable of which any number of values can be chosen; all of them at first."""
    return (
        QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query({"query": query, "refId": name})
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def alerts() -> AnnotationQuery:
    """A mark in each graph while an alert fires."""
    return (
        AnnotationQuery()
        .name("Alerts")
        .datasource(PROMETHEUS)
        .enable(True)
        .icon_color(RED)
        .expr('ALERTS{alertname=~"Ingest.+",alertstate="firing"}')
    )


def dashboard() -> Dashboard:
    """The whole of it."""
    width = WIDTH // 4
    columns = broker(width), stream(width), writer(width), database(width)
    made = (
        Dashboard("TrakSense ingest")
        .uid("traksense-ingest")
        .description("From the broker to TimescaleDB: a message passes the columns from left to right.")
        .tags(["traksense", "ingest"])
        .time("now-1h", "now")
        .refresh("15s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables(
            [
                choice("job", "Service", "label_values(ingest_connected, job)"),
                choice("instance", "Process", 'label_values(ingest_connected{job=~"$job"}, instance)'),
            ]
        )
        .annotation(alerts())
    )
    for panel in [*stats(), *side_by_side(columns), *whole(width)]:
        made.with_panel(panel)
    return made


def as_json() -> str:
    """What is committed; the panels are numbered in their order."""
    built: Any = dashboard().build()
    for number, panel in enumerate(built.panels, 1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(as_json())
