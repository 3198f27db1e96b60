"""The command `validate`."""

from __future__ import annotations

import sys

import click

from traksense_ingest.ops.help import Command, option


class _Url(click.ParamType[str]):
    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.startswith(("http://", "https://")):
            self.fail(f"{value!r} should begin with http:// or https://", param, ctx)
        return value


@click.command(cls=Command)
@option(
    "--timeout",
    section="Thresholds",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    metavar="SECONDS",
    help="How long a check waits for its messages.",
)
@option(
    "--points",
    section="Thresholds",
    type=click.IntRange(min=1, max=10_000_000),
    default=10_000,
    help="Points of the throughput check, in messages of ten.",
)
@option(
    "--min-rate",
    section="Thresholds",
    type=click.FloatRange(min=0),
    default=5_000.0,
    help="The least throughput, in points/s.",
)
@option(
    "--max-p50",
    section="Thresholds",
    type=click.FloatRange(min=0),
    default=1.0,
    help="The highest median latency, in seconds.",
)
@option(
    "--writer-metrics",
    section="Services",
    type=_Url(),
    multiple=True,
    help="A writer's metrics; once for each writer [default: the one of this host].",
)
@option(
    "--receiver-metrics",
    section="Services",
    type=_Url(),
    multiple=True,
    help="A receiver's metrics; once for each receiver [default: the one of this host].",
)
@option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def validate(as_json: bool, **options: object) -> None:
    """Check a running pipeline from outside.

    Connectivity, persistence, dead letters, throughput, latency; and a sixth line if the database can't be used, or
    hides rows. Publishes to MQTT_URL under a tenant made for the run, queries DATABASE_URL, and removes what it wrote.
    Exit code 0 if all checks pass, 1 if not, 2 if a variable or an option is wrong.

    \b
    Examples:
      traksense-ingest validate
      # servers of your own, and a higher threshold
      MQTT_URL=mqtt://broker \\
        DATABASE_URL=postgresql://db/traksense \\
        traksense-ingest validate --min-rate 20000
      # for a script
      traksense-ingest validate --json | jq .passed
    """
    from traksense_ingest.ops.validate.probe import Options
    from traksense_ingest.ops.validate.run import run_command

    sys.exit(run_command(Options(**options), as_json=as_json))  # type: ignore[arg-type]
