"""The streams on the screen: each one's backlog and forecast, and whether its counts balance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from traksense_ingest.ops.status.report import Forecast, Status
from traksense_ingest.ops.terminal import duration, gap, number, table_with_notes
from traksense_ingest.shared.streams.snapshot import StreamSnapshot

LONG_BACKLOG = 0.8  # of the cap
DISPENSABLE = ("out/s", "in/s", "cap")  # on a narrow terminal; in this order


class _Column(NamedTuple):
    heading: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(map(len, (self.heading, *self.cells)))


def backlogs(status: Status, width: int) -> Table:
    """A line for each stream, none of them wrapped; columns that a narrow terminal has no room for are left out."""
    streams, *figures, notes = _fitting(_columns(status), width)
    made = table_with_notes(width, streams.heading, *(figure.heading for figure in figures), no_wrap=True)
    rows = zip(streams.cells, *(figure.cells for figure in figures), notes.cells, strict=True)
    for shard, row in zip(status.shards, rows, strict=True):
        made.add_row(*row, style=_colour(status, shard))
    return made


def balances(status: Status) -> Iterator[Text]:
    """A line for each stream, or two; and what to do."""
    for shard in status.shards:
        yield from _balance(shard, (status.lost or {}).get(shard.stream, 0))
    if status.balanced and status.lost is None:
        unknown = "without the database it is not known whether streams were deleted with entries in them"
        yield Text(unknown, style="yellow")
    if not status.balanced:
        yield Text("once the cause is known: traksense-ingest status --accept-loss")


def _columns(status: Status) -> list[_Column]:
    shards = status.shards
    return [
        _Column("stream", [shard.stream for shard in shards]),
        _Column("backlog", [str(shard.in_stream) for shard in shards]),
        _Column("cap", [f"{shard.in_stream / status.cap:.0%}" for shard in shards]),
        _Column("oldest", [duration(shard.oldest_s if shard.in_stream else None) for shard in shards]),
        _Column("in/s", [f"{status.rate(shard, 'added'):.0f}" for shard in shards]),
        _Column("out/s", [f"{status.rate(shard, 'settled'):.0f}" for shard in shards]),
        _Column("", [_note(status.forecast(shard)) for shard in shards]),
    ]


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    for heading in DISPENSABLE:
        if sum(column.width + gap(width) for column in columns) - gap(width) > width:
            columns = [column for column in columns if column.heading != heading]
    return columns


def _colour(status: Status, shard: StreamSnapshot) -> str:
    if shard.in_stream >= status.cap:
        return "red"
    return "yellow" if shard.in_stream >= LONG_BACKLOG * status.cap else ""


def _note(forecast: Forecast) -> str:
    match forecast:
        case Forecast("full", seconds):
            return "full" if seconds is None else f"full, empty in {duration(seconds)}"
        case Forecast("filling", seconds):
            return f"full in {duration(seconds)}"
        case Forecast("draining", seconds):
            return f"empty in {duration(seconds)}"
    return "keeps up" if forecast.trend == "keeping_up" else forecast.trend


def _balance(shard: StreamSnapshot, lost: int) -> Iterator[Text]:
    if lost:
        yield Text(f"{shard.stream}: {lost} entries are lost: the stream was deleted with them in it", style="red")
    if shard.missing > 0:
        removed = f"{shard.stream}: {shard.missing} entries were removed by another client (XDEL, XTRIM)"
        yield Text(removed, style="red")
    elif shard.missing < 0:
        yield Text(f"{shard.stream}: the stream was deleted and recreated, its ledger not yet", style="red")
    elif not lost:
        yield Text(f"{shard.stream}: {_sums(shard)}", style="green")


def _sums(shard: StreamSnapshot) -> str:
    """Of messages. Duplicates are rows, of which a message has several, so they are not part of the sum."""
    removed = f" + {shard.removed} written off" if shard.removed else ""
    ignored = f" + {shard.ignored} ignored" if shard.ignored else ""
    sums = f"{shard.stored} stored + {shard.dead_lettered} dead-lettered{ignored}{removed} + {shard.in_stream} here"
    return f"{shard.added} added = {sums} ({number(shard.duplicates, 'duplicate')})"
