"""`traksense-ingest dlq list`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from ops.dlq import sql
from ops.dlq.counts import count, show_counts, total
from ops.dlq.ending import one_line
from ops.dlq.letter import fit_for_json
from ops.dlq.options import replayed_or_not, selectors
from ops.dlq.readable import at, number, printable
from ops.dlq.selection import Selection
from ops.dlq.table import table
from shared import config
from shared.config import Settings

TENANT_WIDTH = 16  # columns that are kept free for a tenant; a longer one takes more


@click.command("list")
@selectors
@replayed_or_not
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Rows at most; 0: counts alone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(
    tenant: str | None,
    reason: str | None,
    since: datetime | None,
    until: datetime | None,
    replayed: bool | None,
    limit: int,
    as_json: bool,
) -> None:
    """Count dead letters by reason, then list them, newest first.

    On a terminal a dead letter takes two lines; in a pipe one, its columns (id, time, tenant, topic, reason, when it
    was replayed) separated by tabs, after the counts and an empty line.

    \b
    What has come since this morning, and was not replayed yet:
        traksense-ingest dlq list --since 8h --not-replayed
    \b
    All of one tenant's that are not JSON or not the schema:
        traksense-ingest dlq list --tenant acme --reason parse_error --limit 1000
    \b
    For a script:
        traksense-ingest dlq list --json | jq '.counts'
    """
    settings = config.load()
    selection = Selection(tenant=tenant, reason=reason, since=since, until=until, replayed=replayed)
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
