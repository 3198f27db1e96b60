"""What was found, for a person: from 60 columns on, each table as wide as what is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ops.dlq.readable import printable
from ops.status.forecast import Forecast
from ops.status.part import Part, State
from ops.status.report import Status
from shared.presence import Receiver
from shared.shard import Consumer, Shard

SILENT_S = 10.0  # a receiver speaks every 2 s, a writer's lane every second or, with a batch in hand, every quarter of
SILENT_WRITER_S = 30.0  # … INGEST_CLAIM_IDLE_MS, by default 30 s, after which its entries are claimed
LONG_BACKLOG = 0.8  # of the cap
WIDE = 80  # columns: from here on there is room between the columns of a table

_COLOURS = {State.UP: "green", State.SKIPPED: "dim"}


def screen(status: Status, width: int) -> Group:
    """Parts, receivers, writers, streams, and whether the sums agree."""
    gap = 2 if width >= WIDE else 1
    blocks: list[Sequence[RenderableType]] = [[_part(part) for part in status.parts]]
    if status.now is not None:
        blocks += [
            _receivers(status.receivers, gap),
            _writers(status.now, gap),
            [_flow(status, gap)],
            [*_verdicts(status)],
        ]
    else:
        blocks.append([Text("streams, receivers and writers: not known without Redis", style="red")])
    return Group(*(line for number, block in enumerate(blocks) for line in ([Text()] if number else []) + [*block]))


def _part(part: Part) -> Text:
    told = f"{part.name:<9} {part.state.value:<8} {part.address}"
    return Text(f"{told}: {part.error}" if part.error else told, style=_COLOURS.get(part.state, "red"))


def _receivers(receivers: Sequence[Receiver] | None, gap: int) -> Sequence[RenderableType]:
    if receivers is None:
        return [Text("receivers: not to be seen: another type of key, or not for this user of Redis", style="yellow")]
    if not receivers:
        return [Text("no receiver is there", style="yellow")]
    table = _table(gap, "receiver", "broker", "in/s", "heard")
    for each in receivers:
        if each.silent_s > SILENT_S:
            table.add_row(_name(each.client_id), "?", "?", f"{_duration(each.silent_s)} ago", "silent", style="red")
        else:
            table.add_row(*_receiver(each), style="yellow" if each.waiting else "" if each.broker else "red")
    return [table]


def _receiver(each: Receiver) -> Sequence[RenderableType]:
    figures = "up" if each.broker else "away", f"{each.appended_per_s:.0f}", f"{_duration(each.silent_s)} ago"
    return _name(each.client_id), *figures, "waits for room" if each.waiting else ""


def _name(text: str) -> Text:
    return Text(printable(text))


def _writers(shards: Sequence[Shard], gap: int) -> Sequence[RenderableType]:
    lanes: dict[str, list[Consumer]] = {}
    for shard in shards:
        for consumer in shard.consumers:
            lanes.setdefault(re.sub(r"-\d+$", "", consumer.name), []).append(consumer)
    if not lanes:
        return [Text("no writer has read from these streams, or all have left", style="yellow")]
    table = _table(gap, "writer", "lanes", "pending", "silent for")
    for name, consumers in lanes.items():
        silent_s = max(consumer.idle_ms for consumer in consumers) / 1000
        pending = sum(consumer.pending for consumer in consumers)
        style = "red" if silent_s > SILENT_WRITER_S else ""
        table.add_row(_name(name), str(len(consumers)), str(pending), _duration(silent_s), style=style)
    return [table]


def _flow(status: Status, gap: int) -> Table:
    table = _table(gap, "stream", "backlog", "cap", "oldest", "in/s", "out/s")
    for shard in status.shards:
        table.add_row(
            shard.stream,
            str(shard.in_stream),
            f"{shard.in_stream / status.cap:.0%}",
            _duration(shard.oldest_s if shard.in_stream else None),
            f"{status.rate(shard, 'added'):.0f}",
            f"{status.rate(shard, 'settled'):.0f}",
            _told(status.forecast(shard)),
            style=_colour(status, shard),
        )
    return table


def _colour(status: Status, shard: Shard) -> str:
    if shard.in_stream >= status.cap:
        return "red"
    return "yellow" if shard.in_stream >= LONG_BACKLOG * status.cap else ""


def _told(forecast: Forecast) -> str:
    match forecast:
        case Forecast("full", seconds):
            return "full" if seconds is None else f"full, empty in {_duration(seconds)}"
        case Forecast("filling", seconds):
            return f"full in {_duration(seconds)}"
        case Forecast("draining", seconds):
            return f"empty in {_duration(seconds)}"
    return "keeps up" if forecast.trend == "keeping_up" else forecast.trend


def _verdicts(status: Status) -> Iterator[Text]:
    for shard in status.shards:
        yield from _verdict(shard, (status.lost or {}).get(shard.stream, 0))
    if status.agrees and status.lost is None:
        yield Text("without the database nobody knows of streams that went with entries in them", style="yellow")
    if not status.agrees:
        yield Text("once it is looked into: traksense-ingest status --accept-loss")


def _verdict(shard: Shard, lost: int) -> Iterator[Text]:
    if lost:
        yield Text(f"{shard.stream}: {lost} entries are lost: the stream went with them in it", style="red")
    if shard.missing > 0:
        yield Text(f"{shard.stream}: {shard.missing} entries were removed by other hands (XDEL, XTRIM)", style="red")
    elif shard.missing < 0:
        yield Text(f"{shard.stream}: the stream was deleted and begun anew, its ledger not yet", style="red")
    elif not lost:
        removed = f" + {shard.removed} written off" if shard.removed else ""
        sums = f"{shard.stored} stored + {shard.dead_lettered} dead-lettered{removed} + {shard.in_stream} here"
        yield Text(f"{shard.stream}: {shard.added} added = {sums}", style="green")


def _table(gap: int, name: str, *figures: str) -> Table:
    """The last column has no heading, and is for a word or two."""
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(name, overflow="fold")
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    return table


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, length, most in (("s", 1, 600), ("min", 60, 600), ("h", 3600, 100)):
        if seconds < most * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
