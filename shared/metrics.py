"""The catalogue of metrics: each one's name, labels and help text.

Counters and histograms live in the process that counts them. `ingest_errors_total`, `ingest_ignored_total` and the
gauges of the stream and of the connections are in both: each counts its own, and either may be the one still alive.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from traksense_ingest.shared.messages import DEVICE_STATUSES, IGNORED_REASONS, KINDS, MAPPING, POISON_REASONS

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which no dashboard uses

OUTAGE_REASONS = {
    "broker": "mqtt_error",
    "redis": "redis_error",
    "database": "db_error",
    "clock": "clock_error",  # a writer's: behind the timestamps of several devices
    "messages": "message_error",  # a writer's: each of a kind fails by a bug, or too many of them are rejected
}
REASONS = (*POISON_REASONS, *OUTAGE_REASONS.values())
MESSAGE_TYPES = (*KINDS, "unknown")

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_ENTRIES = (1, 2, 5, 10, 20, 50, 100, 200, 400, 800, 1600, 3200, 10_000)


class Distribution(Histogram):
    """A histogram without labels that takes many values at once: `observe` takes a lock and a loop for each.

    The only use of names that prometheus_client does not promise.
    """

    def observe_all(self, values: Sequence[float]) -> None:
        """The same as `observe` of each."""
        counts = [0] * len(self._buckets)
        for value in values:
            counts[bisect_left(self._upper_bounds, value)] += 1
        for bucket, count in zip(self._buckets, counts, strict=True):
            bucket.inc(count)
        self._sum.inc(sum(values))

    def cumulative(self) -> dict[float, float]:
        """How many values were at most each upper bound, the lowest bound first."""
        counts = [bucket.get() for bucket in self._buckets]
        return dict(zip(self._upper_bounds, accumulate(counts), strict=True))


class Metrics:
    """The metrics of both services. Each process has one instance, with a registry of its own."""

    def __init__(self, components: tuple[str, ...]) -> None:
        self.registry = CollectorRegistry()
        self.errors = self._counter(
            "ingest_errors_total",
            "Dead-lettered messages by reason, and failed attempts by cause: the broker, Redis, the database, "
            "a clock that is behind, messages that all fail.",
            "reason",
            REASONS,
        )
        self._ignored = Counter(
            "ingest_ignored_total",
            "Messages that are not stored, and need not be: an empty payload, retained with MQTT_RETAINED=ignore, or "
            "ignored by a mapping.",
            ["reason", "mapping"],
            registry=self.registry,
        )
        for reason in IGNORED_REASONS:
            if reason != MAPPING:  # it always has a name
                self._ignored.labels(reason, "")
        self.queue_size = self._gauge(
            "ingest_queue_size", "The backlog: entries in the streams that no writer has settled yet."
        )
        self.longest_stream = self._gauge(
            "ingest_longest_stream_size", "Unsettled entries in the stream that holds most of them."
        )
        self.queue_max = self._gauge(
            "ingest_queue_max", "The cap of each stream, in entries: one that is that long takes no more."
        )
        self.mapping_reload_errors = self._counter(
            "ingest_mapping_reload_errors_total",
            "Reloads (SIGHUP) that failed because of an error in a mapping or a topic that the broker refused.",
        )
        self._mapping_info = Gauge(
            "ingest_mapping_info",
            "1 for each mapping that this process runs with, by its name and the digest of its files and variables.",
            ["name", "digest"],
            registry=self.registry,
        )
        self.mapping_last_reload_successful = self._gauge(
            "ingest_mapping_last_reload_successful", "0 if the last reload of the mappings by SIGHUP failed, else 1."
        )
        self.mapping_last_reload_successful.set(1)
        self.connected = Gauge(
            "ingest_connected",
            "1 while the component (broker, redis, database; a writer's clock and messages) can be used, else 0.",
            ["component"],
            registry=self.registry,
        )
        for component in components:
            self.connected.labels(component).set(0)

    def ignored(self, reason: str, count: int, mapping: str = "") -> None:
        """So many messages are not stored; `reason` is one of IGNORED_REASONS."""
        self._ignored.labels(reason, mapping).inc(count)

    def show_mappings(self, digests: Mapping[str, str]) -> None:
        """The process runs with these mappings: their digests by name."""
        self._mapping_info.clear()
        for name, digest in digests.items():
            self._mapping_info.labels(name, digest).set(1)

    def _counter(self, name: str, help_: str, label: str = "", values: tuple[str, ...] = ()) -> Counter:
        counter = Counter(name, help_, [label] if label else [], registry=self.registry)
        for value in values:
            counter.labels(value)
        return counter

    def _gauge(self, name: str, help_: str) -> Gauge:
        return Gauge(name, help_, registry=self.registry)

    def _histogram(self, name: str, help_: str, buckets: tuple[float, ...]) -> Distribution:
        return Distribution(name, help_, buckets=buckets, registry=self.registry)


class ReceiverMetrics(Metrics):
    """MQTT → stream."""

    def __init__(self) -> None:
        super().__init__(("broker", "redis"))
        self.received = self._counter(
            "ingest_received_messages_total", "Messages that the broker delivered, redeliveries included."
        )
        self.appended = self._counter(
            "ingest_appended_messages_total", "Messages that are in a stream and, at QoS 1, acknowledged."
        )
        self.dropped = self._counter(
            "ingest_dropped_messages_total",
            "Messages at QoS 0 that came while the stream was full or Redis unreachable, beyond what is kept in "
            "memory.",
        )
        self.append_batch = self._histogram(
            "ingest_append_batch_size", "Messages appended to a stream in one step.", _ENTRIES
        )
        self.append_time = self._histogram(
            "ingest_append_seconds",
            "Time to append one batch and, with an append-only file, to have it on disk.",
            _SECONDS,
        )
        self.paused = self._gauge(
            "ingest_backpressure",
            "1 while a full stream makes the receiver withhold acknowledgements, else 0.",
        )
        self.paused_time = self._counter(
            "ingest_backpressure_seconds_total", "Seconds that batches have waited for room in a full stream."
        )


class WriterMetrics(Metrics):
    """Stream → database."""

    def __init__(self) -> None:
        super().__init__(("redis", "database", "clock", "messages"))
        self.messages = self._counter(
            "ingest_messages_total",
            "Messages settled, stored, dead-lettered and ignored alike, by the kind that their topic or mapping names.",
            "type",
            MESSAGE_TYPES,
        )
        self.points = self._counter("ingest_points_total", "Rows inserted into ts_measure.")
        self.duplicates = self._counter(
            "ingest_duplicates_total",
            "Points, ACKs, events, states and commands that were stored already and changed nothing but an ACK's "
            "updated_at.",
            "type",
            KINDS,
        )
        self.conflicts = Counter(
            "ingest_conflicts_total",
            "Readings that are not stored: their message has an earlier reading of the same point at the same time, "
            "with another value or unit.",
            ["mapping"],
            registry=self.registry,
        )
        self.conflicts.labels("")
        self.dead_letters = self._counter("ingest_dlq_rows_total", "Rows inserted into ingest_errors.")
        self.rejected_share = self._gauge(
            "ingest_rejected_share",
            "The share of dead letters among the messages of the last 5 minutes, 0 to 1.",
        )
        self.redeliveries = self._counter(
            "ingest_redeliveries_total", "Entries read again: own ones after an error, and a dead writer's."
        )
        self.deferred = self._counter(
            "ingest_deferred_total", "Attempts that failed by a bug and left the entry pending."
        )
        self.batch_size = self._histogram("ingest_batch_size", "Messages a batch.", _ENTRIES)
        self.latency = self._histogram(
            "ingest_latency_seconds",
            "The newest of a message's own timestamps to committed, for each message stored.",
            _SECONDS,
        )
        self.transit = self._histogram(
            "ingest_transit_seconds", "Received from MQTT to committed, for each message stored.", _SECONDS
        )
        self.commit_time = self._histogram("ingest_commit_seconds", "One transaction, from BEGIN to COMMIT.", _SECONDS)
        self.pending = self._gauge("ingest_pending", "Entries that are delivered to a writer and not settled yet.")
        self.oldest_age = self._gauge(
            "ingest_oldest_entry_age_seconds", "Age of the oldest entry that is not settled, 0 with none."
        )
        self.lost = self._gauge(
            "ingest_lost_entries",
            "Entries that another client than a writer removed from the streams unsettled, until an operator "
            "accepts the loss.",
        )
        self.commands_overdue = self._gauge(
            "ingest_commands_overdue",
            "Commands that have no ACK and became overdue in the last hour: INGEST_ACK_TIMEOUT_S after they were sent.",
        )
        self.receivers_gone = self._gauge(
            "ingest_receivers_gone",
            "Receivers that stopped or no longer send heartbeats, and are not back or dismissed: their sessions may "
            "hold messages.",
        )
        self._devices = Gauge(
            "ingest_devices",
            "Devices that are online, late, silent or offline, of the 100 tenants with the most devices; of all other "
            "tenants together as the tenant other.",
            ["tenant", "status"],
            registry=self.registry,
        )
        for status in DEVICE_STATUSES:
            self._devices.labels("other", status)

    def show_devices(self, counts: Mapping[tuple[str, str], int]) -> None:
        """How many devices there are, by tenant and status. Each tenant has each status, so that no series ends."""
        self._devices.clear()
        for tenant in {tenant for tenant, _ in counts}:
            for status in DEVICE_STATUSES:
                self._devices.labels(tenant, status).set(counts.get((tenant, status), 0))
