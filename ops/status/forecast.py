"""Where a stream's backlog is going at the present rate."""

from __future__ import annotations

from typing import NamedTuple

IN_HAND_S = 1.0  # a backlog of less than so many seconds' entries, or of this many, is what writers have in hand
IN_HAND = 10
NOISE = 0.02  # of the traffic: less than that is no trend


class Forecast(NamedTuple):
    """`full`, `filling`, `draining`, `steady`, or `keeping_up`; in how many seconds the cap, or the end, is reached."""

    trend: str
    seconds: float | None = None


def forecast(backlog: int, cap: int, in_rate: float, growth: float) -> Forecast:
    """`in_rate` and `growth` are in entries/s."""
    until_empty = backlog / -growth if growth < 0 else None
    if backlog >= cap:
        return Forecast("full", until_empty)
    if backlog <= max(IN_HAND, IN_HAND_S * in_rate):
        return Forecast("keeping_up")
    if abs(growth) <= NOISE * in_rate:
        return Forecast("steady")
    return Forecast("draining", until_empty) if growth < 0 else Forecast("filling", (cap - backlog) / growth)
