"""`traksense-ingest`: everything that an operator runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from traksense_ingest.ops.console.command import console
from traksense_ingest.ops.devices.command import devices
from traksense_ingest.ops.dlq.cli import dlq
from traksense_ingest.ops.help import Group, completion
from traksense_ingest.ops.imports.command import import_
from traksense_ingest.ops.mapping.cli import mapping
from traksense_ingest.ops.schema.cli import migrate
from traksense_ingest.ops.simulate.command import simulate
from traksense_ingest.ops.status.command import status
from traksense_ingest.ops.up.command import up
from traksense_ingest.ops.validate.command import validate
from traksense_ingest.shared.errors import ConfigurationError, IngestError

if TYPE_CHECKING:
    from dns.resolver import Resolver


DNS_S = 10.0  # how long a name server may take to answer
LOGGING = (
    "console",
    "migrate",
    "receiver",
    "writer",
)  # their stderr is a log, which programs read under LOG_FORMAT=json


class Commands(Group):
    """All commands: one that fails ends with one line and an exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if ctx.invoked_subcommand in LOGGING:
                _end_if_json(error)
            raise
        except IngestError as error:
            _end(error)


def _end(error: IngestError) -> NoReturn:
    from traksense_ingest.shared.runtime.service import say_why

    say_why(error)
    sys.exit(error.exit_code)


def _end_if_json(error: click.UsageError) -> None:
    from traksense_ingest.shared.config import log_format
    from traksense_ingest.shared.runtime.service import say_why

    if log_format() == "json":
        say_why(error.format_message())
        sys.exit(error.exit_code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="traksense-ingest")
def main() -> None:
    """Store every message of a fleet of IoT devices in TimescaleDB, exactly once.

    MQTT_URL, REDIS_URL and DATABASE_URL name the broker, Redis and the database; they are set in the environment or
    in a .env file in the working directory. docs/configuration.md lists all variables.

    \b
    Examples:
      # everything on this machine, with 20 devices
      traksense-ingest up --simulate 20
      # on servers of your own: tables first, then services
      traksense-ingest migrate
      traksense-ingest receiver
      traksense-ingest writer
      # how is it doing, and do the counts balance?
      traksense-ingest status --watch
    """


main.add_command(up)
main.add_command(migrate)


@main.command()
@click.option(
    "--client-id-from-dns",
    is_flag=True,
    help="Use the name of this container, which Docker Compose numbers, instead of MQTT_CLIENT_ID.",
)
@click.option(
    "--leave",
    is_flag=True,
    help="Leave for good: take the messages that the session of MQTT_CLIENT_ID holds, end the session, and exit.",
)
def receiver(client_id_from_dns: bool, leave: bool) -> None:
    """Run a receiver: MQTT → Redis Streams.

    The same as `python -m traksense_ingest.receiver`. Runs until Ctrl-C or SIGTERM, and waits for any server that is
    unreachable. Metrics and health are on METRICS_PORT, 9101.

    \b
    Examples:
      traksense-ingest receiver
      # two share the messages, each with an id of its own
      MQTT_SHARED_GROUP=g MQTT_CLIENT_ID=receiver-0 \\
        traksense-ingest receiver
      MQTT_SHARED_GROUP=g MQTT_CLIENT_ID=receiver-1 \\
        METRICS_PORT=9111 traksense-ingest receiver
      # the second one has stopped for good
      MQTT_SHARED_GROUP=g MQTT_CLIENT_ID=receiver-1 \\
        traksense-ingest receiver --leave
    """
    from traksense_ingest.ops.mapping.passed import require_passed
    from traksense_ingest.receiver.__main__ import main as run

    if client_id_from_dns:
        os.environ["MQTT_CLIENT_ID"] = from_dns()
    sys.exit(run(leaving=leave, check=require_passed))


@main.command()
def writer() -> None:
    """Run a writer: Redis Streams → TimescaleDB.

    The same as `python -m traksense_ingest.writer`. Runs until Ctrl-C or SIGTERM, and waits for any server that is
    unreachable. Run as many as you like. Metrics and health are on METRICS_PORT, 9100.

    \b
    Examples:
      traksense-ingest writer
      # a second one on the same machine
      METRICS_PORT=9110 traksense-ingest writer
    """
    from traksense_ingest.writer.__main__ import main as run

    sys.exit(run())


def from_dns(resolver: Resolver | None = None) -> str:
    """The first label of the name that DNS has for this host's address. Raises ConfigurationError if it has none.

    Docker Compose numbers the replicas of a service: `traksense-receiver-2`. A container that replaces another has the
    same name, so it takes its session over; the host name inside is random.
    """
    import socket

    from dns.exception import DNSException
    from dns.resolver import Resolver

    address = socket.gethostbyname(socket.gethostname())
    try:
        names = (resolver or Resolver()).resolve_address(address, lifetime=DNS_S)
    except DNSException as error:
        raise ConfigurationError(
            f"--client-id-from-dns: no name of {address}: {error}; set MQTT_CLIENT_ID instead"
        ) from None
    return str(names[0].target.labels[0].decode())


main.add_command(status)
main.add_command(devices)
main.add_command(console)
main.add_command(dlq)
main.add_command(import_)
main.add_command(mapping)
main.add_command(validate)
main.add_command(simulate)
main.add_command(completion)
