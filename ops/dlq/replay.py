"""`traksense-ingest dlq replay`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from ops.dlq import sql
from ops.dlq.append import streams
from ops.dlq.dry_run import dry_run
from ops.dlq.due import Due
from ops.dlq.ending import one_line
from ops.dlq.options import ID, selectors
from ops.dlq.pace import Pace
from ops.dlq.progress import reporter
from ops.dlq.readable import at, number
from ops.dlq.replayer import Replayer, Tally
from ops.dlq.selection import Selection
from ops.dlq.table import table
from shared import config
from shared.config import Settings
from shared.service import EXIT_FAILED

RATE_MAX = 100_000.0  # messages/s; no stream takes more


@dataclass(frozen=True)
class Job:
    """What a command asks for."""

    selection: Selection
    again: bool
    rate: float  # messages/s
    limit: int | None


@dataclass
class End:
    """How it ended."""

    tally: Tally
    left: int | None = None  # rows that are due still; None when the database can't say
    missing: int = 0  # ids that are none

    def as_json(self) -> str:
        """One object."""
        return json.dumps({"replayed": self.tally.replayed, "skipped": self.tally.skipped, "left": self.left})

    def line(self, *, again: bool) -> str:
        """One line for a person, with how to go on."""
        told = f"{number(self.tally.replayed, 'message')} replayed"
        if self.tally.skipped:
            told += f", {len(self.tally.skipped)} can't be"
        if self.left == 0:
            return told
        how = f"the same command with --from-id {self.tally.next_id}" if again else "the same command"
        return f"{told}, {'some' if self.left is None else self.left} left: {how} goes on with them"

    def is_complete(self, job: Job) -> bool:
        """Whether all that was asked for is done."""
        by_id = job.selection.ids and (self.missing or self.tally.skipped)
        return not by_id and (self.left == 0 or self.tally.replayed == job.limit)


@click.command()
@click.argument("ids", metavar="[ID]...", type=ID, nargs=-1)
@selectors
@click.option("--all", "everything", is_flag=True, help="All that were not replayed yet.")
@click.option("--from-id", type=ID, help="Of these, only those from this id on.")
@click.option("--again", is_flag=True, help="Also what was replayed before.")
@click.option("--limit", type=click.IntRange(1), help="Messages at most.  [default: no limit]")
@click.option(
    "--rate",
    type=click.FloatRange(0, RATE_MAX, min_open=True),
    default=500.0,
    show_default=True,
    help="Messages/s at most.",
)
@click.option("--dry-run", "dry", is_flag=True, help="Say what each would become now, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(
    ids: tuple[int, ...],
    tenant: str | None,
    reason: str | None,
    since: datetime | None,
    until: datetime | None,
    everything: bool,
    from_id: int | None,
    again: bool,
    limit: int | None,
    rate: float,
    dry: bool,
    as_json: bool,
) -> None:
    """Put dead letters through the stream again: the exact bytes, to a writer that may know better now.

    Each is marked as replayed and not replayed a second time, by whomever, but with --again. What is rejected again
    becomes a new dead letter. A replay fills no stream by more than half of INGEST_QUEUE_MAX: it waits for the
    writers instead. INGEST_SHARDS and INGEST_QUEUE_MAX must be those of the receivers.

    Ctrl-C ends it after the batch in hand. Exit code 1 when something of what was asked for is left.

    \b
    After an adapter was fixed: what would come of it, then ten of them, then all:
        traksense-ingest dlq replay --reason parse_error --since 3d --dry-run
        traksense-ingest dlq replay --reason parse_error --since 3d --limit 10
        traksense-ingest dlq replay --reason parse_error --since 3d
    \b
    Two of them, though they were replayed before:
        traksense-ingest dlq replay 4711 4712 --again

    A crash in the middle, or a Redis that is lost before it has answered, leaves at most 100 messages unmarked that
    are in the stream. They are replayed again then, which changes no row that is stored but an ACK's updated_at.
    """
    selection = Selection(ids or None, tenant, reason, since, until, first=from_id)
    if everything != selection.is_everything:
        both = "--all: not together with ids, --tenant, --reason, --since or --until"
        raise click.UsageError(both if everything else "which? ids, --tenant, --reason, --since, --until or --all")
    job, settings, end = Job(selection, again, rate, limit), config.load(), End(Tally())
    try:
        with one_line(settings):
            asyncio.run(_dry_run(settings, job, as_json) if dry else _replay(settings, job, end))
    finally:
        if end.left is not None or end.tally.replayed:
            click.echo(end.as_json() if as_json else end.line(again=again))
    if not (dry or end.is_complete(job)):
        sys.exit(EXIT_FAILED)


async def _dry_run(settings: Settings, job: Job, as_json: bool) -> None:
    async with table(settings.database_url) as connection:
        await _check_ids(connection, job)
        due = await Due.since_now(connection, job.selection, again=job.again)
        await dry_run(connection, settings, due, job.limit, as_json=as_json)


async def _replay(settings: Settings, job: Job, end: End) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(RuntimeError):  # not in the main thread: nobody can signal us there
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with table(settings.database_url) as connection, streams(settings) as targets:
        end.missing = await _check_ids(connection, job)
        due = await Due.since_now(connection, job.selection, again=job.again)
        report = reporter(min(await due.count(), job.limit or sys.maxsize))
        pace = Pace(job.rate, targets.room)
        replayer = Replayer(connection, due, targets, pace, stop, report.say, end.tally)
        async with report.watching(lambda: end.tally.done):
            await replayer.run(job.limit, job.selection.first)
        end.left = await due.count() - len(end.tally.skipped)


async def _check_ids(connection: Any, job: Job) -> int:
    """Say of each id that is named and won't be replayed why; returns how many there are none of."""
    ids: Sequence[int] = job.selection.ids or ()
    found = {row["id"]: row for row in await connection.fetch(sql.LIST, *Selection(ids=tuple(ids)).arguments, None)}
    for id_ in ids:
        if id_ not in found:
            click.echo(f"{id_}: there is no such dead letter", err=True)
        elif found[id_]["replayed_at"] and not job.again:
            replayed = at(found[id_]["replayed_at"])
            click.echo(f"{id_}: was replayed at {replayed} UTC; --again does it again", err=True)
    return len({*ids} - found.keys())
