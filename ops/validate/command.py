"""The command `validate`."""

from __future__ import annotations

import sys

import click

from ops.help import Command, option
from ops.validate.options import RECEIVER_METRICS, WRITER_METRICS, Options


class _Url(click.ParamType[str]):
    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.startswith(("http://", "https://")):
            self.fail(f"{value!r} should begin with http:// or https://", param, ctx)
        return value


@click.command(cls=Command)
@option(
    "--timeout",
    section="What is demanded",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    metavar="SECONDS",
    help="How long a check waits for its messages.",
)
@option(
    "--points",
    section="What is demanded",
    type=click.IntRange(min=1, max=10_000_000),
    default=10_000,
    help="Points of the throughput check, in messages of ten.",
)
@option(
    "--min-rate",
    section="What is demanded",
    type=click.FloatRange(min=0),
    default=5_000.0,
    help="The least throughput, in points/s.",
)
@option(
    "--max-p50",
    section="What is demanded",
    type=click.FloatRange(min=0),
    default=1.0,
    help="The highest median latency, in seconds.",
)
@option(
    "--writer-metrics",
    section="Where the services are",
    type=_Url(),
    multiple=True,
    default=[WRITER_METRICS],
    help="A writer's metrics; once for each writer.",
)
@option(
    "--receiver-metrics",
    section="Where the services are",
    type=_Url(),
    multiple=True,
    default=[RECEIVER_METRICS],
    help="A receiver's metrics; once for each receiver.",
)
@option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def validate(as_json: bool, **options: object) -> None:
    """Check a running pipeline from outside.

    Connectivity, persistence, dead letters, throughput, latency. Publishes to MQTT_URL under a tenant made up for the
    run, looks in DATABASE_URL, and removes what it wrote. Exit code 0 when all checks pass, 1 when not, 2 when a
    variable or an option is wrong.

    \b
    Examples:
      traksense-ingest validate
      # servers of your own, and more than the default demands
      MQTT_URL=mqtt://broker \\
        DATABASE_URL=postgresql://db/traksense \\
        traksense-ingest validate --min-rate 20000
      # for a script
      traksense-ingest validate --json | jq .passed
    """
    from ops.validate.session import session

    sys.exit(session(Options(**options), as_json=as_json))  # type: ignore[arg-type]
