"""The command `status`."""

from __future__ import annotations

import sys

import click

from traksense_ingest.ops.help import Command, option

SHOWN = "What is shown"
# If all dependencies answer, a screen within about a second: 0.4 s until Python has imported the clients, and this.
SAMPLE_S = 0.5
# Only an unreachable dependency takes so long. A container that has used up its share of the CPU needs more than a
# second until the database has answered everything: ten round trips, TLS and SCRAM.
PATIENCE_S = 2.5
WRITE_PATIENCE_S = 5.0  # a writer may hold the lock of the row
SECONDS = click.FloatRange(0, 3600, min_open=True)


@click.command(cls=Command)
@option(
    "--watch",
    section=SHOWN,
    is_flag=False,
    flag_value=1.0,
    type=SECONDS,
    metavar="[SECONDS]",
    show_default=False,
    help="Repeat every second, or at this interval, until Ctrl-C.",
)
@option("--json", "as_json", section=SHOWN, is_flag=True, help="One JSON object; with --watch one a line.")
@option(
    "--sample",
    section=SHOWN,
    type=click.FloatRange(0, 60),
    default=SAMPLE_S,
    metavar="SECONDS",
    help="How long rates are measured; with --watch it is the time between two outputs.",
)
@option(
    "--timeout",
    section=SHOWN,
    type=SECONDS,
    metavar="SECONDS",
    show_default=False,
    help=f"How long each dependency may take to answer; a distant one may need more than the default: {PATIENCE_S:g}, "
    f"with --accept-loss {WRITE_PATIENCE_S:g}.",
)
@option(
    "--skip",
    section=SHOWN,
    type=click.Choice(("broker", "database")),
    multiple=True,
    metavar="DEPENDENCY",
    help="Do not ask the broker or the database, which can't be reached from here.",
)
@option(
    "--env",
    "files",
    section=SHOWN,
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="A file of variables, such as another pipeline's .env; several are shown one after another.",
)
@option(
    "--accept-loss",
    "accept",
    is_flag=True,
    help="Write off what is missing and lost, so that the counts balance again.",
)
@option(
    "--dismiss",
    multiple=True,
    metavar="NAME",
    help="No longer show a receiver that is gone; also a pattern, such as 'edge-*'.",
)
def status(
    watch: float | None,
    as_json: bool,
    sample: float,
    timeout: float | None,
    skip: tuple[str, ...],
    files: tuple[str, ...],
    accept: bool,
    dismiss: tuple[str, ...],
) -> None:
    """Show how the pipeline is doing.

    First the verdict, one sentence: what is wrong, what that means for the data, and when a stream will be full. Then
    whether broker, Redis and database answer; the nodes of a Redis Cluster; receivers and writers; each stream's
    backlog, rates, and how long until it is full or empty; and whether the counts balance: entries added = stored +
    dead-lettered + accepted as lost + still here, at any instant. With five or more streams, one line is the sum
    of all, only those that don't keep up have a line of their own, and a writer has one line instead of one for each
    stream; --json has everything.

    A receiver that stopped or died stays on the screen: its session at the broker may hold messages. It is shown until
    it is back, has left for good (`receiver --leave`), or is dismissed.

    Exit code 0: all is well. 1: a dependency or a node of a Redis Cluster is unreachable, a receiver is gone, a
    receiver or writer can't use a dependency, has too few replicas of Redis, or waits because of a wrong clock or
    rejected messages, INGEST_SHARDS is not the same in all processes, the counts do not balance, or entries were lost.
    2: a variable is wrong, or a dependency rejects the connection
    permanently. With --watch 0, after Ctrl-C. With several --env the highest of all.

    \b
    Examples:
      traksense-ingest status --watch
      # from where the broker can't be reached
      traksense-ingest status --skip broker
      # for a script
      traksense-ingest status --json \\
        | jq .dependencies.broker.state
      # several pipelines, each with its .env
      traksense-ingest status --env cell-a/.env \\
        --env cell-b/.env
      # once the cause of a loss is known
      traksense-ingest status --accept-loss
      # a receiver that has gone for good
      traksense-ingest status --dismiss receiver-2
    """
    if accept and watch:
        raise click.UsageError("--accept-loss: not together with --watch")
    if dismiss and (watch or accept):
        raise click.UsageError("--dismiss: not together with --watch or --accept-loss")
    if files and (watch or accept or dismiss):
        raise click.UsageError("--env: not together with --watch, --accept-loss or --dismiss")
    from traksense_ingest.ops.status import actions, cells, run
    from traksense_ingest.shared import config

    if files:
        settings_of = {file: cells.load_file(file) for file in files}
        sys.exit(cells.show_cells(settings_of, sample, timeout or PATIENCE_S, skip, as_json=as_json))
    settings = config.load()
    if dismiss:
        sys.exit(actions.dismiss(settings, dismiss, as_json=as_json))
    if accept:
        sys.exit(actions.accept_loss(settings, timeout or WRITE_PATIENCE_S, as_json=as_json))
    sys.exit(run.show_status(settings, watch, sample, timeout or PATIENCE_S, skip, as_json=as_json))
