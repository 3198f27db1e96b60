"""The command `up`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from ops.help import Command, F, option

RECEIVER_METRICS_PORT = 9100


def port(name: str, default: int, help_: str) -> Callable[[F], F]:
    """An option for a port, and the variable for the same."""
    return option(
        f"--{name}-port",
        section="Where a port is taken",
        envvar=f"UP_{name.upper()}_PORT",
        show_envvar=True,
        default=default,
        help=help_,
    )


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"--directory {directory}: {error.strerror}; choose another") from None


@click.command(cls=Command)
@option(
    "--simulate", "devices", type=click.IntRange(0), default=0, help="Add a fleet of so many devices (tenant `fleet`)."
)
@option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path(".traksense"),
    help="Where data and logs stay between runs.",
)
@port("mqtt", 1883, "The broker's, for MQTT 3.1.1.")
@port("mqtt5", 1884, "The broker's, for MQTT 5.")
@port("redis", 6379, "The Redis-compatible server's.")
@port("postgres", 5432, "PostgreSQL's.")
def up(devices: int, directory: Path, mqtt_port: int, mqtt5_port: int, redis_port: int, postgres_port: int) -> None:
    """Run the whole pipeline on this machine.

    With nothing else installed: a broker, a Redis-compatible server with an append-only file, a PostgreSQL, the
    migrations, a receiver and a writer, all on 127.0.0.1. Where MQTT_URL, REDIS_URL or DATABASE_URL is set, that server
    is used instead. Metrics are on METRICS_PORT (9100, the receiver's) and the port after it (the writer's). Ctrl-C
    stops all of it in order.

    \b
    Examples:
      traksense-ingest up
      # with 50 devices that publish
      traksense-ingest up --simulate 50
      # a database of your own, and a Redis port that is free
      DATABASE_URL=postgresql://postgres@db/traksense \\
        traksense-ingest up --redis-port 6380
    """
    from ops.up.plan import Ports, make_plan
    from ops.up.run import Run
    from shared import config

    _make(directory)
    settings = config.load()
    first = settings.metrics_port or RECEIVER_METRICS_PORT
    ports = Ports(mqtt_port, mqtt5_port, redis_port, postgres_port, first, first + 1)
    fleet = ["--devices", str(devices), "--tenant", "fleet"] if devices else None
    sys.exit(Run(make_plan(settings, ports, directory), ports, directory, fleet)())
