"""The columns below it: one for each stage that a message passes, and what spans them."""

from __future__ import annotations

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.grafana.panels import graph, heading
from deploy.grafana.queries import highest, mean, of, quantile, rate


def broker(width: int) -> list[Builder[Panel]]:
    """MQTT → receiver."""
    return [
        heading("### Broker → receiver", width=width),
        graph(
            "Messages received",
            "What the broker delivered, redeliveries included; and what is in a stream and acknowledged. The lines "
            "diverge while receivers withhold acknowledgements.",
            {
                "received": rate("ingest_received_messages_total"),
                "in a stream": rate("ingest_appended_messages_total"),
            },
            units.MessagesPerSecond,
            width=width,
        ),
        graph(
            "Connected to the broker",
            "1 while a receiver is subscribed, else 0; and how many receivers are gone: their sessions may "
            "hold messages.",
            {
                "{{instance}}": of("ingest_connected", component="broker"),
                "gone": highest("ingest_receivers_gone"),
            },
            units.Short,
            width=width,
        ),
        graph(
            "Dropped and ignored",
            "Dropped: at QoS 0, while the stream was full or Redis unreachable; nothing at QoS 1. Ignored: with "
            "an empty payload, retained with MQTT_RETAINED=ignore, or by a mapping, which is named.",
            {
                "dropped": rate("ingest_dropped_messages_total"),
                "ignored, {{reason}} {{mapping}}": rate("ingest_ignored_total", by="reason, mapping"),
            },
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
            "Redelivered: own entries after an error, and a dead writer's. Deferred: attempts that failed by a bug.",
            {"redelivered": rate("ingest_redeliveries_total"), "deferred": rate("ingest_deferred_total")},
            units.MessagesPerSecond,
            width=width,
        ),
        graph(
            "Pending",
            "Entries that a writer is processing, or that a dead or failing writer left behind.",
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
            "Rows inserted into ts_measure; points, ACKs and events that were stored already; and conflicts, readings "
            "of which their message has another value or unit.",
            {
                "stored": rate("ingest_points_total"),
                "duplicates": rate("ingest_duplicates_total"),
                "conflicts": rate("ingest_conflicts_total"),
            },
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
            "Dead letters by reason; the others, such as db_error, are attempts during an outage.",
            {"{{reason}}": rate("ingest_errors_total", by="reason")},
            units.MessagesPerSecond,
            width=width,
        ),
        graph(
            "Rejected",
            "The share of dead letters among the messages that a writer settled in the last 5 minutes.",
            {"{{instance}}": of("ingest_rejected_share")},
            units.PercentUnit,
            width=width,
        ),
        graph(
            "Commands without an ACK",
            "Those that became overdue in the last hour: INGEST_ACK_TIMEOUT_S after they were sent.",
            {"overdue": highest("ingest_commands_overdue")},
            units.Short,
            width=width,
        ),
        graph(
            "Mappings reloaded",
            "0 after a reload of the mappings that failed: the process keeps the previous mappings. "
            "traksense-ingest status says why.",
            {"{{job}} {{instance}}": of("ingest_mapping_last_reload_successful")},
            units.Short,
            width=width,
        ),
        graph(
            "Devices by status",
            "Of all tenants. While writers are behind, devices seem to be late: their messages are not stored yet.",
            {"{{status}}": f"sum by (status) (max by (tenant, status) ({of('ingest_devices')}))"},
            units.Short,
            width=width,
        ),
    ]
