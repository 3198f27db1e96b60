"""`traksense-ingest validate`."""

from __future__ import annotations

import asyncio
import signal
import sys

import click

from ops.validate.options import RECEIVER_METRICS, WRITER_METRICS, Options
from ops.validate.report import Outcome, Report
from ops.validate.run import run
from shared import config
from shared.config import ConfigError, Settings

EXIT_FAILED, EXIT_MISCONFIGURED = 1, 2


class _Url(click.ParamType[str]):
    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.startswith(("http://", "https://")):
            self.fail(f"{value!r} should begin with http:// or https://", param, ctx)
        return value


@click.command()
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    metavar="SECONDS",
    show_default=True,
    help="How long a check waits for its messages.",
)
@click.option(
    "--points",
    type=click.IntRange(min=1, max=10_000_000),
    default=10_000,
    show_default=True,
    help="Points of the throughput check, in messages of ten.",
)
@click.option(
    "--min-rate",
    type=click.FloatRange(min=0),
    default=5_000.0,
    show_default=True,
    help="The least throughput, in points/s.",
)
@click.option(
    "--max-p50",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="The highest median latency, in seconds.",
)
@click.option(
    "--writer-metrics",
    type=_Url(),
    multiple=True,
    default=[WRITER_METRICS],
    show_default=True,
    help="A writer's metrics; once for each writer.",
)
@click.option(
    "--receiver-metrics",
    type=_Url(),
    multiple=True,
    default=[RECEIVER_METRICS],
    show_default=True,
    help="A receiver's metrics; once for each receiver.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def validate(as_json: bool, **options: object) -> None:
    """Check a running pipeline from the outside: connectivity, persistence, dead letters, throughput, latency.

    Publishes to MQTT_URL under a tenant made up for the run, looks in DATABASE_URL, and removes what it wrote.
    Exit code 0 when all checks pass, 1 when not, 2 when a variable or an option is wrong.

    \b
    Example:
      MQTT_URL=mqtt://broker:1883 DATABASE_URL=postgresql://traksense@db/traksense \\
        traksense-ingest validate --min-rate 20000
    """
    try:
        settings = config.load()
    except ConfigError as error:
        click.echo(error, err=True)
        sys.exit(EXIT_MISCONFIGURED)
    report = _run(settings, Options(**options), as_json)  # type: ignore[arg-type]
    click.echo(report.as_json() if as_json else report.verdict())
    sys.exit(0 if report.passed else EXIT_FAILED)


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
