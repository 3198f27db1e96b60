"""What the live view shows, worked out of two scrapes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ops.scrape import Samples, quantile

WINDOW_S = 5.0
TOTALS = ("ingest_received_messages_total", "ingest_points_total", "ingest_dlq_rows_total")


@dataclass(frozen=True)
class Gauges:
    """Rates (per second) and latencies (in seconds, None while nothing is stored) of the last WINDOW_S seconds."""

    received_rate: float = 0.0
    points_rate: float = 0.0
    received: int = 0
    points: int = 0
    duplicates: int = 0
    backlog: int = 0
    dead_letters: int = 0
    p50: float | None = None
    p99: float | None = None
    is_paused: bool = False


class Meter:
    """Remembers the scrapes of the last seconds: what changed since the oldest of them is the rate."""

    def __init__(self) -> None:
        self._scrapes: deque[tuple[float, Samples, Samples]] = deque()
        self._totals = {name: Total() for name in TOTALS}

    def read(self, now: float, receiver: Samples, writer: Samples) -> Gauges:
        """The gauges at `now`, in seconds of a monotonic clock."""
        self._scrapes.append((now, receiver, writer))
        while now - self._scrapes[0][0] > WINDOW_S:
            self._scrapes.popleft()
        at, old_receiver, old_writer = self._scrapes[0]
        took = max(now - at, 1e-9)
        latencies = old_writer.buckets("ingest_latency_seconds"), writer.buckets("ingest_latency_seconds")
        return Gauges(
            received_rate=_gain(old_receiver, receiver, "ingest_received_messages_total") / took,
            points_rate=_gain(old_writer, writer, "ingest_points_total") / took,
            received=self._total("ingest_received_messages_total", receiver),
            points=self._total("ingest_points_total", writer),
            duplicates=int(writer.value("ingest_duplicates_total", type="telem")),
            backlog=int(max(service.value("ingest_queue_size") for service in (receiver, writer))),
            dead_letters=self._total("ingest_dlq_rows_total", writer),
            p50=quantile(*latencies, 0.5),
            p99=quantile(*latencies, 0.99),
            is_paused=bool(receiver.value("ingest_backpressure")),
        )

    def _total(self, name: str, samples: Samples) -> int:
        return self._totals[name].see(samples.value(name))


class Total:
    """A counter's value since we look, over restarts of the process that counts."""

    def __init__(self) -> None:
        self._before = 0.0  # what processes that have ended had counted
        self._last = 0.0

    def see(self, value: float) -> int:
        """The total at the next look."""
        if value < self._last:
            self._before += self._last
        self._last = value
        return int(self._before + value)


def _gain(old: Samples, new: Samples, name: str) -> float:
    return max(0.0, new.value(name) - old.value(name))  # a process that was restarted counts from 0
