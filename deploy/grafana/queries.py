"""PromQL for the dashboard: every figure over the processes that are chosen in it."""

from __future__ import annotations

CHOSEN = 'job=~"$job",instance=~"$instance"'


def of(metric: str, **labels: str) -> str:
    """The metric's series of the chosen processes."""
    chosen = [CHOSEN, *(f'{name}="{value}"' for name, value in labels.items())]
    return f"{metric}{{{','.join(chosen)}}}"


def rate(counter: str, by: str = "") -> str:
    """A second, of all processes together: each counts what it did itself."""
    return f"sum{_by(by)} (rate({of(counter)}[$__rate_interval]))"


def highest(gauge: str) -> str:
    """A gauge of the streams is the same in each process; a sum would count it once a process."""
    return f"max({of(gauge)})"


def quantile(q: float, histogram: str) -> str:
    """Of what all processes observed."""
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', by='le')})"


def mean(histogram: str) -> str:
    """Of what all processes observed."""
    return f"{rate(f'{histogram}_sum')} / {rate(f'{histogram}_count')}"


def _by(label: str) -> str:
    return f" by ({label})" if label else ""
