"""The command `status`."""

from __future__ import annotations

import sys

import click

from ops.help import Command, option

FIGURES = "What is shown"
# A screen within about a second: 0.4 s until Python has imported what talks to the parts, and the longer one of these.
SAMPLE_S = 0.5
PATIENCE_S = 0.5  # ten round trips of 50 ms: the database takes that many until it has said all, with TLS and SCRAM
WRITE_PATIENCE_S = 5.0  # a writer may have the row in hand
SECONDS = click.FloatRange(0, 3600, min_open=True)


@click.command(cls=Command)
@option(
    "--watch",
    section=FIGURES,
    is_flag=False,
    flag_value=1.0,
    type=SECONDS,
    metavar="[SECONDS]",
    show_default=False,
    help="Again and again, each second or so many seconds apart, until Ctrl-C.",
)
@option("--json", "as_json", section=FIGURES, is_flag=True, help="One JSON object; with --watch one a line.")
@option(
    "--sample",
    section=FIGURES,
    type=click.FloatRange(0, 60),
    default=SAMPLE_S,
    metavar="SECONDS",
    help="Over which time rates are taken; with --watch it is from look to look.",
)
@option(
    "--timeout",
    section=FIGURES,
    type=SECONDS,
    metavar="SECONDS",
    show_default=False,
    help=f"How long each part has to answer, which one that is far away may need: {PATIENCE_S:g}, with --accept-loss "
    f"{WRITE_PATIENCE_S:g}.",
)
@option(
    "--skip",
    section=FIGURES,
    type=click.Choice(("broker", "database")),
    multiple=True,
    metavar="PART",
    help="broker or database: not to be reached from here, so not asked.",
)
@option(
    "--accept-loss", "accept", is_flag=True, help="Write off what is missing and lost, so that the sums agree again."
)
def status(
    watch: float | None, as_json: bool, sample: float, timeout: float | None, skip: tuple[str, ...], accept: bool
) -> None:
    """Show how the pipeline is doing.

    Whether broker, Redis and database answer; receivers and writers; each stream's backlog, rates, and how long until
    it is full or empty; and whether the sums agree: entries added = stored + dead-lettered + written off + still here,
    at any instant.

    Exit code 0: all is well. 1: a part is away, the sums do not agree, or entries were lost. 2: a variable is wrong, or
    a part refuses us. With --watch 0, after Ctrl-C.

    \b
    Examples:
      traksense-ingest status --watch
      # from where the broker can't be reached
      traksense-ingest status --skip broker
      # for a script
      traksense-ingest status --json | jq .parts.broker.state
      # once a loss is looked into
      traksense-ingest status --accept-loss
    """
    if accept and watch:
        raise click.UsageError("--accept-loss: not together with --watch")
    from ops.status.run import accept_loss_once, show_status
    from shared import config

    settings = config.load()
    if accept:
        sys.exit(accept_loss_once(settings, timeout or WRITE_PATIENCE_S, as_json=as_json))
    sys.exit(show_status(settings, watch, sample, timeout or PATIENCE_S, skip, as_json=as_json))
