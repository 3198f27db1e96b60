"""`traksense-ingest dlq purge`."""

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
from ops.dlq.options import age, replayed_or_not
from ops.dlq.selection import Selection
from ops.dlq.table import table
from shared import config
from shared.config import Settings
from shared.metrics import POISON_REASONS
from shared.service import EXIT_FAILED

BATCH = 1000  # rows a transaction: short locks, and a Ctrl-C keeps what is deleted so far


@click.command()
@click.option(
    "--older-than", callback=age, required=True, metavar="DURATION", help="12h, 30d, 4w: from the time it came."
)
@click.option("--tenant", help="Of this tenant.")
@click.option("--reason", type=click.Choice(POISON_REASONS), help="Of this class.")
@replayed_or_not
@click.option("--yes", is_flag=True, help="Don't ask.")
def purge(older_than: timedelta, tenant: str | None, reason: str | None, replayed: bool | None, yes: bool) -> None:
    """Delete old dead letters, after counting them and asking.

    What a replay has in hand at this moment stays.

    \b
    What was replayed, after a week; for cron:
        traksense-ingest dlq purge --older-than 7d --replayed --yes
    \b
    Everything from before last month, with a copy:
        traksense-ingest dlq export --until 30d --output dead-letters.jsonl
        traksense-ingest dlq purge --older-than 30d
    """
    settings = config.load()
    selection = Selection(tenant=tenant, reason=reason, replayed=replayed)
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
