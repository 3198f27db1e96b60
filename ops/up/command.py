"""The command `up`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ops.up.plan import Ports, make_plan
from ops.up.run import Run
from shared import config

RECEIVER_METRICS_PORT = 9100


@click.command()
@click.option("--simulate", "devices", type=click.IntRange(1), help="Add a fleet of so many devices.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path(".traksense"),
    show_default=True,
    help="Where the data stay between runs.",
)
@click.option("--mqtt-port", envvar="UP_MQTT_PORT", default=1883, show_default=True, help="The broker's: MQTT 3.1.1.")
@click.option("--mqtt5-port", envvar="UP_MQTT5_PORT", default=1884, show_default=True, help="The broker's: MQTT 5.")
@click.option("--redis-port", envvar="UP_REDIS_PORT", default=6379, show_default=True)
@click.option("--postgres-port", envvar="UP_POSTGRES_PORT", default=5432, show_default=True)
def up(
    devices: int | None, directory: Path, mqtt_port: int, mqtt5_port: int, redis_port: int, postgres_port: int
) -> None:
    """Run the whole pipeline on this machine, with nothing else installed.

    A broker, a Redis-compatible server with an append-only file, a PostgreSQL, the migrations, a receiver and a
    writer, all on 127.0.0.1. Where MQTT_URL, REDIS_URL or DATABASE_URL is set, that server is used instead.
    Ctrl-C stops all of it in order.

    \b
    Example, with 50 devices that publish:
        traksense-ingest up --simulate 50
    """
    settings = config.load()
    first = settings.metrics_port or RECEIVER_METRICS_PORT
    ports = Ports(mqtt_port, mqtt5_port, redis_port, postgres_port, first, first + 1)
    fleet = None if devices is None else ["--devices", str(devices)]
    sys.exit(Run(make_plan(settings, ports, directory), ports, directory, fleet)())
