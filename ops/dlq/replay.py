"""What `dlq replay` does, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from ops.dlq import sql
from ops.dlq.append import streams
from ops.dlq.dry_run import dry_run
from ops.dlq.due import Due
from ops.dlq.ending import one_line
from ops.dlq.pace import Pace
from ops.dlq.progress import reporter
from ops.dlq.readable import at, number
from ops.dlq.replayer import Replayer, Tally
from ops.dlq.selection import Selection
from ops.dlq.table import table
from shared import config
from shared.config import Settings
from shared.service import EXIT_FAILED


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


def replay_letters(job: Job, *, dry: bool, as_json: bool) -> None:
    """The command; exits with 1 when something of what was asked for is left."""
    settings, end = config.load(), End(Tally())
    try:
        with one_line(settings):
            asyncio.run(_dry_run(settings, job, as_json) if dry else _replay(settings, job, end))
    finally:
        if end.left is not None or end.tally.replayed:
            click.echo(end.as_json() if as_json else end.line(again=job.again))
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
