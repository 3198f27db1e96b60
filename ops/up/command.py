"""The command `up`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from traksense_ingest.ops.help import Command, F, option
from traksense_ingest.shared import ports

if TYPE_CHECKING:
    from traksense_ingest.shared.config import Settings

FLEET = "fleet"  # the tenant of simulated devices


def _port(name: str, port: ports.Port, help_: str) -> Callable[[F], F]:
    """An option for a port, and the variable for the same."""
    return option(
        f"--{name}-port",
        section="Ports",
        envvar=port.variable,
        show_envvar=True,
        default=port.default,
        help=help_,
    )


def _movable(settings: Settings, *, has_console: bool) -> set[str]:
    """The ports of the embedded servers and of the console that no option or variable has chosen."""
    names = {"mqtt": "mqtt_url", "mqtt5": "mqtt_url", "redis": "redis_url", "postgres": "database_url"}
    context = click.get_current_context()
    movable = {
        name
        for name, url in names.items()
        if url not in settings.model_fields_set
        and context.get_parameter_source(f"{name}_port") is ParameterSource.DEFAULT
    }
    if has_console and context.get_parameter_source("console_port") is ParameterSource.DEFAULT:
        movable |= {"console"}
    return movable if settings.metrics_port else movable | {"metrics"}


def _fleet(devices: int, settings: Settings) -> list[str]:
    """The options of `simulate`: the formats are those of INGEST_MAPPINGS, as far as they can be simulated."""
    options = ["--devices", str(devices), "--tenant", FLEET]
    if settings.ingest_mappings:
        from traksense_ingest.ops.simulate.formats import simulated

        if formats := simulated(settings, FLEET):
            options += ["--format", ",".join(formats)]
    return options


@click.command(cls=Command)
@option(
    "--simulate",
    "devices",
    type=click.IntRange(0),
    default=0,
    help="Add a fleet of this many devices (tenant `fleet`); it publishes the formats of INGEST_MAPPINGS.",
)
@option("--shards", type=click.IntRange(1, 1024), help="How many streams [default: INGEST_SHARDS, with --cluster 9].")
@option("--writers", type=click.IntRange(1, 32), default=1, help="How many writers.")
@option(
    "--cluster",
    "is_cluster",
    is_flag=True,
    help="A Redis Cluster instead of one server: six nodes, three of them replicas, and INGEST_REPLICAS=1.",
)
@option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path(".traksense"),
    help="Where data and logs are kept between runs.",
)
@option(
    "--console/--no-console", "has_console", default=True, help="Run the console, web pages on a port of their own."
)
@_port("mqtt", ports.MQTT, "The broker's, for MQTT 3.1.1.")
@_port("mqtt5", ports.MQTT5, "The broker's, for MQTT 5.")
@_port("redis", ports.REDIS, "The Redis-compatible server's; with --cluster the first of twelve.")
@_port("postgres", ports.POSTGRES, "PostgreSQL's.")
@_port("console", ports.CONSOLE, "The console's.")
def up(
    devices: int,
    shards: int | None,
    writers: int,
    is_cluster: bool,
    directory: Path,
    has_console: bool,
    mqtt_port: int,
    mqtt5_port: int,
    redis_port: int,
    postgres_port: int,
    console_port: int,
) -> None:
    """Run the whole pipeline on this machine.

    With nothing else installed: a broker, a Redis-compatible server with an append-only file, a PostgreSQL, the
    migrations, a receiver, a writer and the console, all on 127.0.0.1. If MQTT_URL, REDIS_URL or DATABASE_URL is set,
    that server is used instead. Metrics are on METRICS_PORT (9100, the writer's) and the next port (the receiver's);
    further writers have the ports after these. If a port is in use and no option or variable asks for it, the next
    free one is used and printed. A link opens the console; after it was used, a new one is shown. Ctrl-C stops all of
    it in order.

    \b
    Examples:
      traksense-ingest up
      # with 50 devices that publish
      traksense-ingest up --simulate 50
      # a Redis Cluster of six nodes, and two writers
      traksense-ingest up --cluster --writers 2 --simulate 50
      # a database of your own, and Redis on port 6380
      DATABASE_URL=postgresql://postgres@db/traksense \\
        traksense-ingest up --redis-port 6380
    """
    from traksense_ingest.ops.console import packages
    from traksense_ingest.ops.mapping.passed import require_passed
    from traksense_ingest.ops.up.plan import CLUSTER_NODES, Ports, make_plan, with_free_ports
    from traksense_ingest.ops.up.run import Run, locked
    from traksense_ingest.shared import config
    from traksense_ingest.shared.mapping.load import load

    settings = config.load()
    if is_cluster and "redis_url" in settings.model_fields_set:
        raise click.UsageError("--cluster: not together with REDIS_URL")
    require_passed(load(settings.ingest_mappings))  # errors are known before anything is started
    if has_console and not packages.are_installed():
        has_console = False
        click.echo(f"without the console: {packages.MISSING}", err=True)
    metrics = settings.metrics_port or ports.WRITER_METRICS.default
    fleet = _fleet(devices, settings) if devices else None
    with locked(directory):
        redis_ports = 2 * CLUSTER_NODES if is_cluster else 1  # each node has one for clients, and one for the others
        usual = Ports(mqtt_port, mqtt5_port, redis_port, postgres_port, metrics, redis_ports, writers, console_port)
        chosen, notes = with_free_ports(usual, _movable(settings, has_console=has_console))
        plan = make_plan(settings, chosen, directory, shards=shards, is_cluster=is_cluster)
        Run(plan, chosen, directory, fleet, notes, has_console=has_console)()
