"""What `dlq list` shows: counts by reason, which `purge` shows too, and rows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from traksense_ingest.ops.dlq.dead_letter import Selection, fit_for_json
from traksense_ingest.ops.dlq.table import COUNT, LIST, open_table
from traksense_ingest.ops.terminal import at, number, printable
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings

TENANT_WIDTH = 16  # columns that are kept free for a tenant; a longer one takes more


def list_dead_letters(selection: Selection, limit: int, *, as_json: bool) -> None:
    """The command: counts, and at most `limit` rows."""
    settings = config.load()
    counts, found = asyncio.run(_read(settings, selection, limit))
    if as_json:
        report = {"counts": [*map(fit_for_json, counts)], "rows": [*map(fit_for_json, found)]}
        click.echo(json.dumps(report, ensure_ascii=False))
    else:
        show(Console(highlight=False), counts, found)


async def _read(settings: Settings, selection: Selection, limit: int) -> tuple[list[Any], list[Any]]:
    async with open_table(settings.database_url) as connection:
        counts = await count(connection, selection)
        found = await connection.fetch(LIST, *selection.arguments, limit)
        return [*map(dict, counts)], [*map(dict, found)]


def show(console: Console, counts: Sequence[Any], found: Sequence[Any]) -> None:
    """The counts, and the rows as wide as the terminal or, in a pipe, as wide as they are."""
    show_counts(console, counts)
    if found:
        print(file=console.file)
    if console.is_terminal:
        _on_screen(console, found)
        if (others := total(counts) - len(found)) > 0 and found:
            console.print(f"… {number(others, 'more row')}: --limit", style="dim")
    else:
        for row in found:
            print("\t".join(_columns(row)), file=console.file)


def _columns(row: Any) -> Iterable[str]:
    tenant, replayed = printable(row["tenant_id"] or "–"), at(row["replayed_at"])
    return str(row["id"]), at(row["ts"]), tenant, printable(row["topic"]), printable(row["reason"]), replayed


def _on_screen(console: Console, found: Sequence[Any]) -> None:
    if not found:
        return
    shown = [tuple(_columns(row)) for row in found]
    width, names = (max(len(columns[index]) for columns in shown) for index in (0, 2))
    width, names = max(width, 2), min(max(names, 6), TENANT_WIDTH)
    console.print(Text(f"{'id':>{width}}  {'time (UTC)':19}  {'tenant':{names}}  topic", style="bold"))
    for row, (id_, ts, tenant, topic, reason, _) in zip(found, shown, strict=True):
        done = "replayed · " if row["replayed_at"] else ""
        _line(console, f"{id_:>{width}}  {ts}  {tenant:{names}}  {topic}")
        _line(console, f"{'':{width}}  {done}{reason}", style="dim" if done else "yellow")


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), no_wrap=True, overflow="ellipsis")


async def count(connection: Any, selection: Selection) -> list[Any]:
    """A row for each reason: error_class, rows, replayed, latest; the most frequent first."""
    return list(await connection.fetch(COUNT, *selection.arguments))


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
    """The table, or `no dead letters`."""
    console.print(counts_table(counts) if counts else "no dead letters")


def rows(count_: int) -> str:
    """`1 row`, `2 rows`."""
    return number(count_, "row")
