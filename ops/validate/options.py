"""What the checks measure against."""

from __future__ import annotations

from dataclasses import dataclass

WRITER_METRICS = "http://localhost:9101/metrics"
RECEIVER_METRICS = "http://localhost:9100/metrics"


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options: targets, sizes, and where the services serve their metrics."""

    timeout: float = 30.0  # seconds a check
    points: int = 10_000  # of the throughput check
    min_rate: float = 5_000.0  # points/s
    max_p50: float = 1.0  # seconds
    writer_metrics: tuple[str, ...] = (WRITER_METRICS,)
    receiver_metrics: tuple[str, ...] = (RECEIVER_METRICS,)
