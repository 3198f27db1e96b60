"""Whether the sums of each stream agree, and what is wrong where they don't."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from ops.dlq.readable import number
from ops.status.report import Status
from shared.shard import Shard


def verdicts(status: Status) -> Iterator[Text]:
    """A line for each stream, or two; and what to do."""
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
        yield Text(f"{shard.stream}: {_sums(shard)}", style="green")


def _sums(shard: Shard) -> str:
    """Of messages; duplicates are rows, of which a message has several, and stand outside of it."""
    removed = f" + {shard.removed} written off" if shard.removed else ""
    sums = f"{shard.stored} stored + {shard.dead_lettered} dead-lettered{removed} + {shard.in_stream} here"
    return f"{shard.added} added = {sums} ({number(shard.duplicates, 'duplicate')})"
