"""The first row: is the pipeline healthy?"""

from __future__ import annotations

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.grafana.panels import WIDTH, stat
from deploy.grafana.queries import highest, of, quantile, rate

GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"


LONGEST = "pipeline:ingest_longest_stream_size:max"
# Below 1% of the cap growth is that of a single batch.
SECONDS_TO_CAP = (
    f"pipeline:ingest_longest_stream_size:seconds_to_cap and {LONGEST} > 0.01 * pipeline:ingest_queue_max:min"
)
NOT_FILLING = -1


def stats() -> list[Builder[Panel]]:
    """From left to right: what runs, how much it stores, how long it can go on, and what went wrong."""
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
            "Rows inserted into ingest_errors in the last hour. traksense-ingest dlq list shows the reasons.",
            f"sum(increase({of('ingest_dlq_rows_total')}[1h]))",
            units.Short,
            {None: GREEN, 1: ORANGE},
            width=width,
        ).decimals(0),
        stat(
            "Lost",
            "Entries that another client than a writer removed from the streams unsettled. "
            "traksense-ingest status names the streams.",
            highest("ingest_lost_entries"),
            units.Short,
            {None: GREEN, 1: RED},
            width=width,
        ),
    ]
