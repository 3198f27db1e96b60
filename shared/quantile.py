"""Quantiles of the observations of a histogram between two readings of it."""

from __future__ import annotations

from collections.abc import Mapping


def quantile(before: Mapping[float, float], after: Mapping[float, float], q: float) -> float | None:
    """A quantile of the observations in between, computed as PromQL's histogram_quantile does; None without any.

    `before` and `after` are cumulative counts by upper bound, the lowest bound first.
    """
    gained = {bound: count - before.get(bound, 0) for bound, count in after.items()}
    rank = q * max(gained.values(), default=0)
    if not rank:
        return None
    lower, below = 0.0, 0.0
    for bound, count in gained.items():
        if count >= rank:
            return lower if bound == float("inf") else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return None
