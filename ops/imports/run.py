"""`import`: the run, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from redis.exceptions import RedisError

from traksense_ingest.ops.advice import ingest_error
from traksense_ingest.ops.appending.pace import Pace, Room
from traksense_ingest.ops.imports.destination import destination
from traksense_ingest.ops.imports.dry_run import dry_run
from traksense_ingest.ops.imports.file import opened_file
from traksense_ingest.ops.imports.importer import Importer
from traksense_ingest.ops.imports.source import Source, Survey
from traksense_ingest.ops.imports.table import Columns, opened_table
from traksense_ingest.ops.progress import import_columns, on_stderr
from traksense_ingest.ops.terminal import number, printable
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import Unusable
from traksense_ingest.shared.runtime.service import EXIT_FAILED


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and the database that it is in; None: that of DATABASE_URL."""

    name: str
    columns: Columns
    url: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """What a command asks for."""

    what: Path | Table
    rate: float  # messages/s
    limit: int | None
    skip_invalid: bool
    restart: bool


@dataclass
class End:
    """How it ended."""

    survey: Survey
    before: int = 0  # messages that an earlier run has imported
    imported: int = 0  # … and this one
    is_complete: bool = False  # the end of the source is reached

    @property
    def left(self) -> int:
        """Messages that are not imported."""
        return 0 if self.is_complete else max(0, self.survey.messages - self.before - self.imported)

    def as_json(self) -> str:
        """One object."""
        figures = {"imported": self.imported, "before": self.before, "invalid": self.survey.invalid, "left": self.left}
        return json.dumps(figures)

    def line(self) -> str:
        """One line, with the command that continues."""
        done = f"{number(self.imported, 'message')} imported"
        if self.survey.invalid:
            done += f", {self.survey.invalid} invalid"
        if not self.is_complete:
            return f"{done}, {self.left} left: the same command, without --restart, goes on with them"
        return f"{done}; {self.before} were imported before: --restart imports them again" if self.before else done


def import_messages(job: Job, *, dry: bool, as_json: bool) -> None:
    """The command; exits with 1 if something that was asked for is not done."""
    settings = config.load()
    try:
        is_done = asyncio.run(_run(settings, job, dry=dry, as_json=as_json))
    except (RedisError, Unusable) as error:
        raise ingest_error("REDIS_URL", settings.redis_url, error) from error
    if not is_done:
        sys.exit(EXIT_FAILED)


async def _run(settings: Settings, job: Job, *, dry: bool, as_json: bool) -> bool:
    async with _source(settings, job.what) as source:
        survey = await source.survey()
        _say_what_is_invalid(source, survey)
        is_refused = survey.invalid > 0 and not job.skip_invalid
        if dry:
            await dry_run(settings, source, survey, job.limit, as_json=as_json)
        elif is_refused:
            click.echo("nothing was imported: correct them, or leave them out with --skip-invalid", err=True)
        else:
            return await _import(settings, job, source, survey, as_json=as_json)
        return not is_refused


@asynccontextmanager
async def _source(settings: Settings, what: Path | Table) -> AsyncIterator[Source]:
    if isinstance(what, Path):
        with opened_file(what) as file:
            yield file
        return
    url, variable = (settings.database_url, "DATABASE_URL") if what.url is None else (what.url, "--database-url")
    async with opened_table(url, variable, what.name, what.columns) as table:
        yield table


def _say_what_is_invalid(source: Source, survey: Survey) -> None:
    for each in survey.examples:
        click.echo(f"{printable(source.place(each.position))}: {printable(each.reason)}", err=True)
    if more := survey.invalid - len(survey.examples):
        click.echo(f"… {more} more", err=True)


async def _import(settings: Settings, job: Job, source: Source, survey: Survey, *, as_json: bool) -> bool:
    stop, end = asyncio.Event(), End(survey)
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(RuntimeError):  # not in the main thread, which no signal reaches
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with destination(settings, source) as streams:
        await streams.read_marks()
        if job.restart:
            await streams.begin_at("", 0)
        end.before = streams.imported
        report = on_stderr(survey.messages, import_columns())
        importer = Importer(source, streams, Pace(job.rate, streams.room), stop, Room(streams, stop, report.say))
        try:
            async with report.watching(lambda: streams.imported):
                end.is_complete = await importer.run(survey.last, job.limit)
        finally:
            end.imported = streams.imported - end.before
            click.echo(end.as_json() if as_json else end.line())
    return end.is_complete or end.imported == job.limit
