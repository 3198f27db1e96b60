"""`traksense-ingest`: everything that an operator runs."""

from __future__ import annotations

import asyncio
import os
import sys

import asyncpg
import click

from ops import client_id
from ops.dlq.command import dlq
from ops.migrate import migrate as apply_migrations
from ops.simulate.command import simulate
from ops.status.command import status
from ops.up.command import up
from ops.validate.command import validate
from receiver.__main__ import main as run_receiver
from shared import config, log
from shared.config import ConfigError, redacted
from shared.failure import describe
from shared.health import Component
from shared.metrics import Metrics
from shared.outage import Misconfigured, first_contact
from shared.service import EXIT_FAILED, EXIT_MISCONFIGURED
from writer.__main__ import main as run_writer


class Commands(click.Group):
    """A variable that is wrong is one line and exit code 2, whatever the command."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except ConfigError as error:
            print(error, file=sys.stderr)
            sys.exit(EXIT_MISCONFIGURED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="traksense-ingest")
def main() -> None:
    """Every message of a fleet of IoT devices into TimescaleDB, once.

    Configured by environment variables, or a .env file: see the README.

    \b
    Examples:
        traksense-ingest up --simulate 20      everything on this machine
        traksense-ingest status                backlog, consumers, and do the sums agree?
        traksense-ingest validate              is a pipeline that runs somewhere all right?
        traksense-ingest migrate               prepare the database
    """


@main.command()
@click.option(
    "--client-id-from-dns",
    is_flag=True,
    help="Instead of MQTT_CLIENT_ID: the container's name, as Docker Compose numbers its replicas.",
)
def receiver(client_id_from_dns: bool) -> None:
    """Run a receiver: MQTT → Redis Streams. The same as `python -m receiver`."""
    if client_id_from_dns:
        os.environ["MQTT_CLIENT_ID"] = client_id.from_dns()
    sys.exit(run_receiver())


@main.command()
def writer() -> None:
    """Run a writer: Redis Streams → TimescaleDB. The same as `python -m writer`."""
    sys.exit(run_writer())


@main.command()
def migrate() -> None:
    """Bring the database of DATABASE_URL to the schema that this version needs.

    Safe to run at any time, and from several places at once. Waits for a server that is away.
    """
    settings = config.load()
    log.configure(settings.log_level, settings.log_format)
    database = Component("database", redacted(settings.database_url), Metrics(("database",)))
    migration = first_contact(database, "DATABASE_URL", lambda: apply_migrations(settings.database_url))
    try:
        applied = asyncio.run(migration)
    except Misconfigured as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_MISCONFIGURED)
    except asyncpg.PostgresError as error:
        print(f"DATABASE_URL={redacted(settings.database_url)}: {describe(error)}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    print(f"{len(applied)} migrations applied" if applied else "nothing to do: the database is up to date")


main.add_command(dlq)
main.add_command(simulate)
main.add_command(status)
main.add_command(up)
main.add_command(validate)
