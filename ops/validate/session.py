"""`traksense-ingest validate` from its options to its exit code."""

from __future__ import annotations

import asyncio
import signal
import sys

import click

from ops.validate.options import Options
from ops.validate.report import Outcome, Report
from ops.validate.run import run
from shared import config
from shared.config import ConfigError, Settings
from shared.service import EXIT_FAILED, EXIT_MISCONFIGURED, EXIT_OK


def session(options: Options, *, as_json: bool) -> int:
    """Check, and say what was found; returns the exit code."""
    try:
        settings = config.load()
    except ConfigError as error:
        click.echo(error, err=True)
        sys.exit(EXIT_MISCONFIGURED)
    report = _run(settings, options, as_json)
    click.echo(report.as_json() if as_json else report.verdict())
    return EXIT_OK if report.passed else EXIT_FAILED


def _run(settings: Settings, options: Options, quiet: bool) -> Report:
    try:
        return asyncio.run(_until_terminated(settings, options, quiet))
    except asyncio.CancelledError:
        raise click.Abort from None


async def _until_terminated(settings: Settings, options: Options, quiet: bool) -> Report:
    """SIGTERM ends it as Ctrl-C does: by cancelling, so that what it wrote is removed first."""
    task = asyncio.current_task()
    if task:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(settings, options, _ignore if quiet else _print)


def _print(outcome: Outcome) -> None:
    click.echo(outcome.line())


def _ignore(_outcome: Outcome) -> None:
    """The JSON at the end has them all."""
