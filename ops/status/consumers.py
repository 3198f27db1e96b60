"""Who reads from the streams: each consumer where the screen has room for them, else each writer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ops.status.columns import duration, name, table
from shared.shard import Consumer, Shard

# A lane speaks every second or, with a batch in hand, every quarter of INGEST_CLAIM_IDLE_MS. After that time, 30 s by
# default, others claim its entries.
SILENT_S = 30.0

MEASURE = Console(width=10_000)  # to see how wide a table would like to be


def consumers(shards: Sequence[Shard], width: int, lines: int) -> RenderableType:
    """A table of at most so many lines, none of them wrapped, if it can be."""
    known = [(shard, consumer) for shard in shards for consumer in shard.consumers]
    if not known:
        return Text("no writer has read from these streams, or all have left", style="yellow")
    each = _each(known, width)
    fits = each.row_count < lines and Measurement.get(MEASURE, MEASURE.options, each).maximum <= width
    return each if fits else _by_writer(known, width)


def _each(known: Sequence[tuple[Shard, Consumer]], width: int) -> Table:
    made = table(width, "consumer", "stream", "pending", "silent for")
    for shard, consumer in known:
        told = shard.stream, str(consumer.pending), duration(_silent_s(consumer))
        made.add_row(name(consumer.name), *told, style=_colour(consumer))
    return made


def _by_writer(known: Sequence[tuple[Shard, Consumer]], width: int) -> Table:
    made = table(width, "writer", "lanes", "pending", "silent for")
    for writer, lanes in _lanes(known):
        pending, last = sum(lane.pending for lane in lanes), max(lanes, key=_silent_s)
        told = str(len(lanes)), str(pending), duration(_silent_s(last))
        made.add_row(name(writer), *told, style=_colour(last))
    return made


def _lanes(known: Sequence[tuple[Shard, Consumer]]) -> Iterator[tuple[str, list[Consumer]]]:
    found: dict[str, list[Consumer]] = {}
    for _, consumer in known:
        found.setdefault(re.sub(r"-\d+$", "", consumer.name), []).append(consumer)
    yield from found.items()


def _silent_s(consumer: Consumer) -> float:
    return consumer.idle_ms / 1000


def _colour(consumer: Consumer) -> str:
    return "red" if _silent_s(consumer) > SILENT_S else ""
