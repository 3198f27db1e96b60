"""`traksense-ingest dlq list`."""

from __future__ import annotations

from datetime import datetime

import click

from ops.dlq.options import replayed_or_not, selectors
from ops.dlq.selection import Selection
from ops.help import Command, option


@click.command("list", cls=Command)
@selectors
@replayed_or_not
@option("--limit", type=click.IntRange(0), default=20, help="Rows at most; 0: counts alone.")
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(
    tenant: str | None,
    reason: str | None,
    since: datetime | None,
    until: datetime | None,
    replayed: bool | None,
    limit: int,
    as_json: bool,
) -> None:
    """Count dead letters, then list them.

    Counted by reason; listed newest first. On a terminal a dead letter takes two lines; in a pipe one, its columns (id,
    time, tenant, topic, reason, when it was replayed) separated by tabs, after the counts and an empty line.

    \b
    Examples:
      # what has come since this morning, and was not replayed
      traksense-ingest dlq list --since 8h --not-replayed
      # one tenant's that are not JSON or not the schema
      traksense-ingest dlq list --tenant acme \\
        --reason parse_error --limit 1000
      # for a script
      traksense-ingest dlq list --json | jq .counts
    """
    from ops.dlq.listing import list_letters

    selection = Selection(tenant=tenant, reason=reason, since=since, until=until, replayed=replayed)
    list_letters(selection, limit, as_json=as_json)
