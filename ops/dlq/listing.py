"""What `dlq list` shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from ops.dlq import sql
from ops.dlq.counts import count, show_counts, total
from ops.dlq.ending import one_line
from ops.dlq.letter import fit_for_json
from ops.dlq.readable import at, number, printable
from ops.dlq.selection import Selection
from ops.dlq.table import table
from shared import config
from shared.config import Settings

TENANT_WIDTH = 16  # columns that are kept free for a tenant; a longer one takes more


def list_letters(selection: Selection, limit: int, *, as_json: bool) -> None:
    """The command: counts, and so many rows."""
    settings = config.load()
    with one_line(settings):
        counts, found = asyncio.run(_look(settings, selection, limit))
    if as_json:
        report = {"counts": [*map(fit_for_json, counts)], "rows": [*map(fit_for_json, found)]}
        click.echo(json.dumps(report, ensure_ascii=False))
    else:
        show(Console(highlight=False), counts, found)


async def _look(settings: Settings, selection: Selection, limit: int) -> tuple[list[Any], list[Any]]:
    async with table(settings.database_url) as connection:
        counts = await count(connection, selection)
        found = await connection.fetch(sql.LIST, *selection.arguments, limit)
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
    width, names = (max(len(columns[place]) for columns in shown) for place in (0, 2))
    width, names = max(width, 2), min(max(names, 6), TENANT_WIDTH)
    console.print(Text(f"{'id':>{width}}  {'time (UTC)':19}  {'tenant':{names}}  topic", style="bold"))
    for row, (id_, ts, tenant, topic, reason, _) in zip(found, shown, strict=True):
        done = "replayed · " if row["replayed_at"] else ""
        _line(console, f"{id_:>{width}}  {ts}  {tenant:{names}}  {topic}")
        _line(console, f"{'':{width}}  {done}{reason}", style="dim" if done else "yellow")


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), no_wrap=True, overflow="ellipsis")
