"""`traksense-ingest dlq show`."""

from __future__ import annotations

import click

from ops.dlq.options import ID
from ops.help import Command, argument, option


@click.command(cls=Command)
@argument("id_", metavar="ID", type=ID, told="Which one; `list` shows the ids.")
@option("--full", is_flag=True, help="All of the payload, however long it is.")
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(id_: int, full: bool, as_json: bool) -> None:
    """Show one dead letter, and what is wrong.

    Its message, with an arrow at the place that the reason names.

    \b
    Examples:
      traksense-ingest dlq show 4711
      traksense-ingest dlq show 4711 --full | less
      # the exact bytes, into a file
      traksense-ingest dlq show 4711 --json |
        jq -j '.payload // (.payload_base64|@base64d)' > x
    """
    from ops.dlq.show import show_letter

    show_letter(id_, full=full, as_json=as_json)
