"""`traksense-ingest dlq export`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from ops.dlq.options import replayed_or_not, selectors
from ops.dlq.selection import Selection
from ops.help import Command, option


@click.command(cls=Command)
@selectors
@replayed_or_not
@option("--output", type=click.Path(dir_okay=False, path_type=Path), show_default="stdout", help="Into this file.")
def export(
    tenant: str | None,
    reason: str | None,
    since: datetime | None,
    until: datetime | None,
    replayed: bool | None,
    output: Path | None,
) -> None:
    """Write dead letters as JSON Lines.

    Oldest first, all columns. `payload` is the text where text holds the exact bytes; else there is `payload_base64`
    instead. The file appears when it is complete.

    \b
    Examples:
      # keep what a purge would delete
      traksense-ingest dlq export --until 30d --output x.jsonl
      # which firmware sends what we can't read?
      traksense-ingest dlq export --reason parse_error |
        jq -r .payload | jq -r .fw | sort | uniq -c
    """
    from ops.dlq.export import export_letters

    selection = Selection(tenant=tenant, reason=reason, since=since, until=until, replayed=replayed)
    export_letters(selection, output)
