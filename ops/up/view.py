"""The live view: one table on a terminal, one line every few seconds elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ops.embedded import Server
from ops.up.gauges import Gauges

LONGEST_S = 3600  # the histogram's last bound: all that it knows of longer ones is that they are


def table(gauges: Gauges, parts: Sequence[Server], restarts: Mapping[str, int]) -> Group:
    """The gauges and the parts; fits 60 columns."""
    figures = Table.grid(padding=(0, 2))
    for _ in range(3):
        figures.add_column(justify="left", min_width=16)
    figures.add_row(
        _figure("messages in", f"{gauges.received_rate:,.0f}/s", f"{gauges.received:,}"),
        _figure("points stored", f"{gauges.points_rate:,.0f}/s", f"{gauges.points:,}"),
        _figure("backlog", f"{gauges.backlog:,}", "full: receivers wait" if gauges.is_paused else "in the stream"),
    )
    figures.add_row(
        _figure("latency p50", _seconds(gauges.p50), "device to row"),
        _figure("latency p99", _seconds(gauges.p99), "device to row"),
        _figure("dead letters", f"{gauges.dead_letters:,}", f"{gauges.duplicates:,} duplicates"),
    )
    return Group(figures, _parts(parts, restarts), Text("Ctrl-C stops everything in order", style="dim"))


def line(gauges: Gauges) -> str:
    """The same for a log."""
    return (
        f"in {gauges.received_rate:.0f} messages/s, stored {gauges.points_rate:.0f} points/s "
        f"({gauges.points} in all), backlog {gauges.backlog}, "
        f"p50 {_seconds(gauges.p50)}, p99 {_seconds(gauges.p99)}, dead letters {gauges.dead_letters}"
    )


def _figure(name: str, value: str, note: str) -> Text:
    return Text.assemble((f"{name}\n", "dim"), (f"{value}\n", "bold"), (note, "dim"))


def _parts(parts: Sequence[Server], restarts: Mapping[str, int]) -> Text:
    text = Text()
    for part in parts:
        text.append("● ", "green" if part.serves() else "yellow" if part.running else "red")
        text.append(part.name)
        text.append(f" (restarted {restarts[part.name]}×)  " if restarts.get(part.name) else "  ", "yellow")
    return text


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value >= LONGEST_S:
        return "> 1 h"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
