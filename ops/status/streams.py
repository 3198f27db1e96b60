"""The streams on the screen: each one's backlog and forecast, and whether its counts balance.

With FOLDED_FROM streams or more, one line is the sum of all, and only those that don't keep up have their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from traksense_ingest.ops.status.report import Forecast, Status
from traksense_ingest.ops.status.verdict import BAD, GOOD, WARNING
from traksense_ingest.ops.terminal import duration, gap, number, rate, table_with_notes
from traksense_ingest.shared.streams.snapshot import StreamSnapshot

LONG_BACKLOG = 0.8  # of the cap
FOLDED_FROM = 5  # streams
ROWS_MAX = 8  # of streams that are not well, if they are folded
COLOURS = {GOOD: "", WARNING: "yellow", BAD: "red"}
DISPENSABLE = ("out/s", "in/s", "cap")  # on a narrow terminal; in this order


class _Column(NamedTuple):
    heading: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(map(len, (self.heading, *self.cells)))


class StreamRow(NamedTuple):
    """A stream, or several together."""

    name: str
    shards: Sequence[StreamSnapshot]
    note: str

    @property
    def in_stream(self) -> int:
        return sum(shard.in_stream for shard in self.shards)

    @property
    def longest(self) -> int:
        """Entries in the longest one."""
        return max(shard.in_stream for shard in self.shards)

    @property
    def oldest_s(self) -> float | None:
        """The age of the oldest entry; None without entries."""
        return max((shard.oldest_s for shard in self.shards if shard.in_stream), default=None)

    def rate(self, status: Status, name: str) -> float:
        """The growth of a count over all of them, per second."""
        return sum(status.rate(shard, name) for shard in self.shards)

    def level(self, status: Status) -> str:
        """`bad` if one is full, `warning` if one is nearly full."""
        if self.longest >= status.cap:
            return BAD
        return WARNING if self.longest >= LONG_BACKLOG * status.cap else GOOD


class Sums(NamedTuple):
    """The counts of messages of some streams, of which the first is the sum of the next five and of `missing`.

    Duplicates are rows, of which a message has several, so they are not part of the sum.
    """

    added: int
    stored: int
    dead_lettered: int
    ignored: int
    removed: int  # accepted as lost
    in_stream: int
    missing: int
    duplicates: int

    @classmethod
    def of(cls, shards: Sequence[StreamSnapshot]) -> Sums:
        """Of these streams together."""
        return cls(*(sum(getattr(shard, name) for shard in shards) for name in cls._fields))


def are_folded(shards: Sequence[StreamSnapshot]) -> bool:
    """Whether there are so many that not each of them has a line."""
    return len(shards) >= FOLDED_FROM


def backlogs(status: Status, width: int) -> Table:
    """A line for each stream, or for all of them and for each that is not well. None is wrapped; columns that a narrow
    terminal has no room for are left out."""
    rows = rows_of(status)
    streams, *figures, notes = _fitting(_columns(status, rows), width)
    made = table_with_notes(width, streams.heading, *(figure.heading for figure in figures), no_wrap=True)
    cells = zip(streams.cells, *(figure.cells for figure in figures), notes.cells, strict=True)
    for row, texts in zip(rows, cells, strict=True):
        made.add_row(*texts, style=COLOURS[row.level(status)])
    return made


def line_count(status: Status) -> int:
    """How many lines that takes, without the heading."""
    return len(rows_of(status))


def balances(status: Status) -> Iterator[Text]:
    """A line for each stream, or two, or one for all of which the counts balance; and what to do."""
    lost = status.lost or {}
    folded: list[StreamSnapshot] = []
    for shard in status.shards:
        if are_folded(status.shards) and not (shard.missing or lost.get(shard.stream)):
            folded.append(shard)
        else:
            yield from balance_of(shard, lost.get(shard.stream, 0))
    if folded:
        yield Text(f"{_together(folded, status)}: {_sums(folded)}", style="green")
    if status.balanced and status.lost is None:
        unknown = "without the database it is not known whether streams were deleted with entries in them"
        yield Text(unknown, style="yellow")
    if not status.balanced:
        yield Text("once the cause is known: traksense-ingest status --accept-loss")


def rows_of(status: Status) -> list[StreamRow]:
    """Each stream, or the sum of all and those that don't keep up, the longest backlogs first."""
    own = [StreamRow(shard.stream, [shard], in_words(status.forecast(shard))) for shard in status.shards]
    if not are_folded(status.shards):
        return own
    bad = [row for row in own if not _is_well(status, row.shards[0])]
    worst = sorted(bad, key=lambda row: -row.shards[0].in_stream)[:ROWS_MAX]
    well = len(own) - len(bad)
    note = "all keep up" if not bad else f"{well} keep{'s' * (well == 1)} up"
    rows = [StreamRow(f"{len(own)} streams", status.shards, note), *(row for row in bad if row in worst)]
    if len(bad) > len(worst):
        others = [row.shards[0] for row in bad if row not in worst]
        rows.append(StreamRow(f"{len(others)} more", others, "with shorter backlogs"))
    return rows


def _is_well(status: Status, shard: StreamSnapshot) -> bool:
    return status.forecast(shard).trend == "keeping_up" and shard.in_stream < LONG_BACKLOG * status.cap


def _columns(status: Status, rows: Sequence[StreamRow]) -> list[_Column]:
    """Of several streams: sums, the share of the fullest and the age of the oldest entry."""
    return [
        _Column("stream", [row.name for row in rows]),
        _Column("backlog", [str(row.in_stream) for row in rows]),
        _Column("cap", [f"{row.longest / status.cap:.0%}" for row in rows]),
        _Column("oldest", [duration(row.oldest_s) for row in rows]),
        *(_Column(heading, [rate(row.rate(status, name)) for row in rows]) for heading, name in _RATES.items()),
        _Column("", [row.note for row in rows]),
    ]


_RATES = {"in/s": "added", "out/s": "settled"}


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    for heading in DISPENSABLE:
        if sum(column.width + gap(width) for column in columns) - gap(width) > width:
            columns = [column for column in columns if column.heading != heading]
    return columns


def in_words(forecast: Forecast) -> str:
    """`full in 4 min`, `empty in 3 s`, `keeps up`."""
    match forecast:
        case Forecast("full", seconds):
            return "full" if seconds is None else f"full, empty in {duration(seconds)}"
        case Forecast("filling", seconds):
            return f"full in {duration(seconds)}"
        case Forecast("draining", seconds):
            return f"empty in {duration(seconds)}"
    return "keeps up" if forecast.trend == "keeping_up" else forecast.trend


def _together(shards: Sequence[StreamSnapshot], status: Status) -> str:
    others = "" if len(shards) == len(status.shards) else "other "
    return number(len(shards), f"{others}stream")


def balance_of(shard: StreamSnapshot, lost: int) -> Iterator[Text]:
    """The counts of a stream as a sum to check, and what is wrong with it."""
    if lost:
        yield Text(f"{shard.stream}: {lost} entries are lost: the stream was deleted with them in it", style="red")
    if shard.missing > 0:
        removed = f"{shard.stream}: {shard.missing} entries were removed by another client (XDEL, XTRIM)"
        yield Text(removed, style="red")
    elif shard.missing < 0:
        yield Text(f"{shard.stream}: the stream was deleted and recreated, its ledger not yet", style="red")
    elif not lost:
        yield Text(f"{shard.stream}: {_sums([shard])}", style="green")


def _sums(shards: Sequence[StreamSnapshot]) -> str:
    sums = Sums.of(shards)
    removed = f" + {sums.removed} accepted as lost" if sums.removed else ""
    ignored = f" + {sums.ignored} ignored" if sums.ignored else ""
    settled = f"{sums.stored} stored + {sums.dead_lettered} dead-lettered{ignored}{removed}"
    return f"{sums.added} added = {settled} + {sums.in_stream} here ({number(sums.duplicates, 'duplicate row')})"
