"""Dead letters by reason: what `list` and `purge` begin with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ops.dlq import sql
from ops.dlq.readable import at, number
from ops.dlq.selection import Selection


async def count(connection: Any, selection: Selection) -> list[Any]:
    """A row for each reason: error_class, rows, replayed, latest; the most frequent first."""
    return list(await connection.fetch(sql.COUNT, *selection.arguments))


def total(counts: Sequence[Any]) -> int:
    """Rows of all reasons."""
    return sum(row["rows"] for row in counts)


def counts_table(counts: Sequence[Any]) -> Table:
    """Fits 80 columns."""
    table = Table(box=None, pad_edge=False)
    table.add_column("reason")
    table.add_column("rows", justify="right")
    table.add_column("replayed", justify="right")
    table.add_column("latest (UTC)")
    for row in counts:
        table.add_row(row["error_class"], str(row["rows"]), str(row["replayed"]), at(row["latest"]))
    if len(counts) > 1:
        table.add_row("all", str(total(counts)), str(sum(row["replayed"] for row in counts)))
    return table


def show_counts(console: Console, counts: Sequence[Any]) -> None:
    """The table, or that there is nothing."""
    console.print(counts_table(counts) if counts else "no dead letters")


def rows(count_: int) -> str:
    """`1 row`, `2 rows`."""
    return number(count_, "row")
