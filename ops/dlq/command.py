"""The command `dlq`."""

from __future__ import annotations

import click

from ops.dlq.commands.export import export
from ops.dlq.commands.list_ import list_
from ops.dlq.commands.purge import purge
from ops.dlq.commands.replay import replay
from ops.dlq.commands.show import show
from ops.help import Group


@click.group(cls=Group)
def dlq() -> None:
    """Look at dead letters, or replay them.

    Messages that could not be stored, each with its exact bytes and a reason. `list`, `show` and `export` only read.
    All but `show`, which takes an id, choose by --tenant and --reason; `list`, `export` and `replay` also by --since
    and --until, `purge` by --older-than; `list`, `export` and `purge` by --replayed or --not-replayed. Needs
    DATABASE_URL with the tables' owner, and for `replay` REDIS_URL with what a receiver may do.

    \b
    Examples:
      # something is rejected: what, where, would it be now?
      traksense-ingest dlq list --since 1d
      traksense-ingest dlq show 4711
      traksense-ingest dlq replay --since 1d --dry-run
      # once the writer is mended
      traksense-ingest dlq replay --since 1d
      traksense-ingest dlq purge --older-than 30d --replayed
    """


for command in (list_, show, replay, purge, export):
    dlq.add_command(command)
