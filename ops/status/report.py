"""Two looks at the streams, as a screen for a person or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from shared.shard import Shard


@dataclass(frozen=True)
class Status:
    """Every shard, and every shard a little earlier, for the rates."""

    before: Sequence[Shard]
    now: Sequence[Shard]
    seconds: float  # between the two
    cap: int  # INGEST_QUEUE_MAX, entries a shard
    lost: Mapping[str, int] | None = None  # by stream: entries that went with it; None when the database is away

    @property
    def agrees(self) -> bool:
        """Whether the sums agree on every shard, and no stream went with entries in it."""
        return all(shard.missing == 0 for shard in self.now) and not any((self.lost or {}).values())

    def rate(self, place: int, field: str) -> float:
        """How a figure of a shard grows, per second."""
        return float(getattr(self.now[place], field) - getattr(self.before[place], field)) / max(self.seconds, 1e-9)

    def until_full_s(self, place: int) -> float | None:
        """Seconds until a shard's cap at the present rate; None while it doesn't grow."""
        growth = self.rate(place, "in_stream")
        return (self.cap - self.now[place].in_stream) / growth if growth > 0 else None

    def as_json(self) -> str:
        """One object: `agrees`, `cap`, and the shards."""
        shards = [
            {
                **shard.as_dict(),
                "lost": None if self.lost is None else self.lost[shard.stream],
                "added_per_s": self.rate(place, "added"),
                "until_full_s": self.until_full_s(place),
            }
            for place, shard in enumerate(self.now)
        ]
        return json.dumps({"agrees": self.agrees, "cap": self.cap, "shards": shards})

    def screen(self) -> Group:
        """Fits 80 columns."""
        verdicts = [verdict for shard in self.now for verdict in self._verdicts(shard)]
        if not self.agrees:
            verdicts.append(Text("once it is looked into: traksense-ingest status --accept-loss"))
        return Group(self._ledger(), self._consumers(), *verdicts)

    def _ledger(self) -> Table:
        table = Table(box=None, padding=(0, 1), pad_edge=False, collapse_padding=True)
        table.add_column("stream")
        for heading in ("added", "stored", "dups", "dead", "backlog", "oldest", "in/s", "full in"):
            table.add_column(heading, justify="right")
        for place, shard in enumerate(self.now):
            figures = (shard.added, shard.stored, shard.duplicates, shard.dead_lettered, shard.in_stream)
            rate, full = f"{self.rate(place, 'added'):.0f}", _duration(self.until_full_s(place))
            table.add_row(shard.stream, *map(str, figures), _duration(shard.oldest_s), rate, full)
        return table

    def _verdicts(self, shard: Shard) -> Iterator[Text]:
        lost = (self.lost or {}).get(shard.stream, 0)
        if lost:
            yield Text(f"{shard.stream}: {lost} entries are lost: the stream went with them in it", style="red")
        if shard.missing > 0:
            yield Text(
                f"{shard.stream}: {shard.missing} entries were removed by other hands (XDEL, XTRIM)", style="red"
            )
        elif shard.missing < 0:
            yield Text(f"{shard.stream}: the stream was deleted and begun anew, its ledger not yet", style="red")
        elif not lost:
            removed = f" + {shard.removed} written off" if shard.removed else ""
            yield Text(f"{shard.stream}: added = stored + dead-lettered{removed} + backlog", style="green")

    def _consumers(self) -> Any:
        table = Table(box=None, padding=(0, 1))
        table.add_column("consumer")
        table.add_column("pending", justify="right")
        table.add_column("silent for", justify="right")
        for shard in self.now:
            for consumer in shard.consumers:
                table.add_row(consumer.name, str(consumer.pending), _duration(consumer.idle_ms / 1000))
        return table if table.row_count else Text("no writer has read from these streams, or all have left")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return (
        f"{seconds:.0f} s"
        if seconds < 600
        else f"{seconds / 60:.0f} min"
        if seconds < 36_000
        else f"{seconds / 3600:.0f} h"
    )
