"""What `dlq purge` deletes."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any

import click
from rich.console import Console

from ops.dlq import sql
from ops.dlq.counts import count, rows, show_counts, total
from ops.dlq.ending import one_line
from ops.dlq.selection import Selection
from ops.dlq.table import table
from shared import config
from shared.config import Settings
from shared.service import EXIT_FAILED

BATCH = 1000  # rows a transaction: short locks, and a Ctrl-C keeps what is deleted so far


def purge_letters(selection: Selection, older_than: timedelta, *, yes: bool) -> None:
    """The command: count, ask, delete."""
    settings = config.load()
    with one_line(settings):
        asyncio.run(_purge(settings, selection, older_than, yes))


async def _purge(settings: Settings, selection: Selection, older_than: timedelta, yes: bool) -> None:
    async with table(settings.database_url) as connection:
        chosen = await _bounded(connection, selection, older_than)
        counts = await count(connection, chosen)
        show_counts(Console(highlight=False), counts)
        if not counts:
            return
        if not yes:
            _confirm(f"Delete {rows(total(counts))}?")
        deleted = 0
        try:
            while some := _deleted(await connection.execute(sql.PURGE, *chosen.arguments, BATCH)):
                deleted += some
        finally:
            click.echo(f"{rows(deleted)} deleted")


async def _bounded(connection: Any, selection: Selection, older_than: timedelta) -> Selection:
    """What is counted is what is deleted: a cutoff by the database's clock, which gave the rows their time."""
    now = await connection.fetchrow(sql.NOW)
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
