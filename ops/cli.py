"""`traksense-ingest`: everything that an operator runs."""

from __future__ import annotations

import os
import sys

import click

from ops.completion import completion
from ops.dlq.command import dlq
from ops.help import Group
from ops.simulate.command import simulate
from ops.status.command import status
from ops.up.command import up
from ops.validate.command import validate


class Commands(Group):
    """A variable that is wrong is one line and exit code 2, whatever the command."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            _end_if_misconfigured(error)
            raise


def _end_if_misconfigured(error: Exception) -> None:
    from shared.config import ConfigError
    from shared.service import EXIT_MISCONFIGURED

    if isinstance(error, ConfigError):
        print(error, file=sys.stderr)
        sys.exit(EXIT_MISCONFIGURED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="traksense-ingest")
def main() -> None:
    """Every message of a fleet of IoT devices into TimescaleDB, once.

    Variables of the environment, or a .env file in the working directory, say where broker, Redis and database are:
    MQTT_URL, REDIS_URL, DATABASE_URL. The README has all of them.

    \b
    Examples:
      # everything on this machine, with 20 devices
      traksense-ingest up --simulate 20
      # on servers of your own: tables first, then services
      traksense-ingest migrate
      traksense-ingest receiver
      traksense-ingest writer
      # how is it going, and do the sums agree?
      traksense-ingest status --watch
    """


main.add_command(up)


@main.command()
@click.option("--drop-aggregates", is_flag=True, help="Drop those that are not in INGEST_AGGREGATES, and their data.")
def migrate(drop_aggregates: bool) -> None:
    """Bring the database up to date.

    Applies to DATABASE_URL what the schema of this version has more, and the retention, the compression and the
    aggregates that INGEST_RETENTION_DAYS, INGEST_DLQ_RETENTION_DAYS, INGEST_COMPRESS_AFTER_DAYS and INGEST_AGGREGATES
    say; one that is changed or unset changes or ends what it began. Each change is a line. Safe to run at any time, and
    from several places at once. Waits for a server that is away. Connect as the tables' owner, the first time as one
    who may make roles.

    \b
    Examples:
      traksense-ingest migrate
      # a database of your own
      DATABASE_URL=postgresql://postgres@db/traksense \\
        traksense-ingest migrate
      # rows for 90 days, compressed after 7
      INGEST_RETENTION_DAYS=90 INGEST_COMPRESS_AFTER_DAYS=7 \\
        traksense-ingest migrate
    """
    from ops.shape.command import run

    sys.exit(run(drop_aggregates=drop_aggregates))


@main.command()
@click.option(
    "--client-id-from-dns",
    is_flag=True,
    help="Instead of MQTT_CLIENT_ID: the container's name, as Docker Compose numbers its replicas.",
)
def receiver(client_id_from_dns: bool) -> None:
    """Run a receiver: MQTT → Redis Streams.

    The same as `python -m receiver`. Ends in order on Ctrl-C or SIGTERM; until then it waits for whatever is away.
    Metrics and health are on METRICS_PORT, 9100.

    \b
    Examples:
      traksense-ingest receiver
      # two share the messages, each with an id of its own
      MQTT_SHARED_GROUP=g MQTT_CLIENT_ID=receiver-0 \\
        traksense-ingest receiver
      MQTT_SHARED_GROUP=g MQTT_CLIENT_ID=receiver-1 \\
        METRICS_PORT=9110 traksense-ingest receiver
    """
    from receiver.__main__ import main as run

    if client_id_from_dns:
        from ops.client_id import from_dns

        os.environ["MQTT_CLIENT_ID"] = from_dns()
    sys.exit(run())


@main.command()
def writer() -> None:
    """Run a writer: Redis Streams → TimescaleDB.

    The same as `python -m writer`. Ends in order on Ctrl-C or SIGTERM; until then it waits for whatever is away. Run as
    many as you like. Metrics and health are on METRICS_PORT, 9101.

    \b
    Examples:
      traksense-ingest writer
      # a second one on the same machine
      METRICS_PORT=9111 traksense-ingest writer
    """
    from writer.__main__ import main as run

    sys.exit(run())


main.add_command(status)
main.add_command(dlq)
main.add_command(validate)
main.add_command(simulate)
main.add_command(completion)
