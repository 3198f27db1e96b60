"""Where each stream's backlog is going."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from ops.status.columns import duration, gap, table_that_tells
from ops.status.forecast import Forecast
from ops.status.report import Status
from shared.shard import Shard

LONG_BACKLOG = 0.8  # of the cap
DISPENSABLE = ("out/s", "in/s", "cap")  # on a narrow terminal; in this order


class _Column(NamedTuple):
    heading: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(map(len, (self.heading, *self.cells)))


def flow(status: Status, width: int) -> Table:
    """A line for each stream, none of them wrapped; what a narrow terminal has no room for is left out."""
    streams, *figures, told = _fitting(_columns(status), width)
    made = table_that_tells(width, streams.heading, *(figure.heading for figure in figures), no_wrap=True)
    rows = zip(streams.cells, *(figure.cells for figure in figures), told.cells, strict=True)
    for shard, row in zip(status.shards, rows, strict=True):
        made.add_row(*row, style=_colour(status, shard))
    return made


def _columns(status: Status) -> list[_Column]:
    shards = status.shards
    return [
        _Column("stream", [shard.stream for shard in shards]),
        _Column("backlog", [str(shard.in_stream) for shard in shards]),
        _Column("cap", [f"{shard.in_stream / status.cap:.0%}" for shard in shards]),
        _Column("oldest", [duration(shard.oldest_s if shard.in_stream else None) for shard in shards]),
        _Column("in/s", [f"{status.rate(shard, 'added'):.0f}" for shard in shards]),
        _Column("out/s", [f"{status.rate(shard, 'settled'):.0f}" for shard in shards]),
        _Column("", [_told(status.forecast(shard)) for shard in shards]),
    ]


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    for heading in DISPENSABLE:
        if sum(column.width + gap(width) for column in columns) - gap(width) > width:
            columns = [column for column in columns if column.heading != heading]
    return columns


def _colour(status: Status, shard: Shard) -> str:
    if shard.in_stream >= status.cap:
        return "red"
    return "yellow" if shard.in_stream >= LONG_BACKLOG * status.cap else ""


def _told(forecast: Forecast) -> str:
    match forecast:
        case Forecast("full", seconds):
            return "full" if seconds is None else f"full, empty in {duration(seconds)}"
        case Forecast("filling", seconds):
            return f"full in {duration(seconds)}"
        case Forecast("draining", seconds):
            return f"empty in {duration(seconds)}"
    return "keeps up" if forecast.trend == "keeping_up" else forecast.trend
