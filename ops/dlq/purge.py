"""`dlq purge`: count, ask, delete."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any

import click
from rich.console import Console

from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.dlq.listing import count, rows, show_counts, total
from traksense_ingest.ops.dlq.table import NOW, PURGE, open_table
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.runtime.service import EXIT_FAILED

BATCH = 1000  # rows a transaction: short locks, and Ctrl-C undoes nothing that is committed


def purge_dead_letters(selection: Selection, older_than: timedelta, *, yes: bool) -> None:
    """The command: count, ask, delete."""
    settings = config.load()
    asyncio.run(_purge(settings, selection, older_than, yes))


async def _purge(settings: Settings, selection: Selection, older_than: timedelta, yes: bool) -> None:
    async with open_table(settings.database_url) as connection:
        chosen = await _up_to_now(connection, selection, older_than)
        counts = await count(connection, chosen)
        show_counts(Console(highlight=False), counts)
        if not counts:
            return
        if not yes:
            _confirm(f"Delete {rows(total(counts))}?")
        deleted = 0
        try:
            while some := _deleted(await connection.execute(PURGE, *chosen.arguments, BATCH)):
                deleted += some
        finally:
            click.echo(f"{rows(deleted)} deleted")


async def _up_to_now(connection: Any, selection: Selection, older_than: timedelta) -> Selection:
    """Up to a time by the database's clock, which set the rows' times, so that exactly what is counted is deleted."""
    now = await connection.fetchrow(NOW)
    return Selection(
        tenant=selection.tenant,
        reason=selection.reason,
        replayed=selection.replayed,
        until=now["at"] - older_than,
        last=now["last"],
    )


def _confirm(question: str) -> None:
    if not click.confirm(question, err=True):
        click.echo("nothing was deleted", err=True)
        sys.exit(EXIT_FAILED)


def _deleted(status: str) -> int:
    """From `DELETE 5`."""
    return int(status.rpartition(" ")[2])
