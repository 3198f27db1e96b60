"""The command `dlq`."""

from __future__ import annotations

import click

from ops.dlq.export import export
from ops.dlq.listing import list_
from ops.dlq.options import OneLineGroup
from ops.dlq.purge import purge
from ops.dlq.replay import replay
from ops.dlq.show import show


@click.group(cls=OneLineGroup)
def dlq() -> None:
    """The dead letter queue: messages that could not be stored, each with its exact bytes and a reason.

    `list`, `show` and `export` only read; all but `show` take the same selectors. Needs DATABASE_URL with the
    tables' owner, and for `replay` REDIS_URL with what a receiver may do.

    \b
    Something is rejected: what, where in it, and would it be now?
        traksense-ingest dlq list --since 1d
        traksense-ingest dlq show 4711
        traksense-ingest dlq replay --reason parse_error --since 1d --dry-run
    \b
    Once the writer is mended:
        traksense-ingest dlq replay --reason parse_error --since 1d
        traksense-ingest dlq purge --older-than 30d --replayed
    """


for command in (list_, show, replay, purge, export):
    dlq.add_command(command)
