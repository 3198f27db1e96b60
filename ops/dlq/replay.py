"""`dlq replay`: the run, and how it ended."""

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
from redis.exceptions import RedisError

from traksense_ingest.ops.advice import ingest_error
from traksense_ingest.ops.appending.pace import Pace
from traksense_ingest.ops.dlq.append import streams
from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.dlq.dry_run import dry_run
from traksense_ingest.ops.dlq.replayer import Replayer, ReplayQueue, Tally
from traksense_ingest.ops.dlq.table import LIST, open_table
from traksense_ingest.ops.progress import on_stderr, replay_columns
from traksense_ingest.ops.terminal import at, number
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import Unusable
from traksense_ingest.shared.runtime.service import EXIT_FAILED


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
    left: int | None = None  # rows that are still in the queue; None when the database was lost
    missing: int = 0  # ids that don't exist

    def as_json(self) -> str:
        """One object."""
        return json.dumps({"replayed": self.tally.replayed, "skipped": self.tally.skipped, "left": self.left})

    def line(self, *, again: bool) -> str:
        """One line, with the command that continues."""
        done = f"{number(self.tally.replayed, 'message')} replayed"
        if self.tally.skipped:
            done += f", {len(self.tally.skipped)} can't be"
        if self.left == 0:
            return done
        how = f"the same command with --from-id {self.tally.next_id}" if again else "the same command"
        return f"{done}, {'some' if self.left is None else self.left} left: {how} goes on with them"

    def is_complete(self, job: Job) -> bool:
        """Whether all that was asked for is done."""
        by_id = job.selection.ids and (self.missing or self.tally.skipped)
        return not by_id and (self.left == 0 or self.tally.replayed == job.limit)


def replay_dead_letters(job: Job, *, dry: bool, as_json: bool) -> None:
    """The command; exits with 1 if something that was asked for is not done."""
    settings, end = config.load(), End(Tally())
    try:
        asyncio.run(_dry_run(settings, job, as_json) if dry else _replay(settings, job, end))
    except (RedisError, Unusable) as error:
        raise ingest_error("REDIS_URL", settings.redis_url, error) from error
    finally:
        if end.left is not None or end.tally.replayed:
            click.echo(end.as_json() if as_json else end.line(again=job.again))
    if not (dry or end.is_complete(job)):
        sys.exit(EXIT_FAILED)


async def _dry_run(settings: Settings, job: Job, as_json: bool) -> None:
    async with open_table(settings.database_url) as connection:
        await _check_ids(connection, job)
        queue = await ReplayQueue.since_now(connection, job.selection, again=job.again)
        await dry_run(connection, settings, queue, job.limit, as_json=as_json)


async def _replay(settings: Settings, job: Job, end: End) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(RuntimeError):  # not in the main thread, which no signal reaches
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with open_table(settings.database_url) as connection, streams(settings) as targets:
        end.missing = await _check_ids(connection, job)
        queue = await ReplayQueue.since_now(connection, job.selection, again=job.again)
        report = on_stderr(min(await queue.count(), job.limit or sys.maxsize), replay_columns())
        pace = Pace(job.rate, targets.room)
        replayer = Replayer(connection, queue, targets, pace, stop, report.say, end.tally)
        async with report.watching(lambda: end.tally.done):
            await replayer.run(job.limit, job.selection.first)
        end.left = await queue.count() - len(end.tally.skipped)


async def _check_ids(connection: Any, job: Job) -> int:
    """Print why a given id won't be replayed; returns how many ids don't exist."""
    ids: Sequence[int] = job.selection.ids or ()
    found = {row["id"]: row for row in await connection.fetch(LIST, *Selection(ids=tuple(ids)).arguments, None)}
    for id_ in ids:
        if id_ not in found:
            click.echo(f"{id_}: there is no such dead letter", err=True)
        elif found[id_]["replayed_at"] and not job.again:
            replayed = at(found[id_]["replayed_at"])
            click.echo(f"{id_}: was replayed at {replayed} UTC; --again does it again", err=True)
    return len({*ids} - found.keys())
