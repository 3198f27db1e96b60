"""`traksense-ingest dlq purge`."""

from __future__ import annotations

from datetime import timedelta

import click

from ops.dlq.options import WHICH, age, reason, replayed_or_not, tenant
from ops.dlq.selection import Selection
from ops.help import Command, option


@click.command(cls=Command)
@option(
    "--older-than",
    section=WHICH,
    callback=age,
    required=True,
    metavar="DURATION",
    help="12h, 30d, 4w: from the time it came.",
)
@tenant
@reason
@replayed_or_not
@option("--yes", is_flag=True, help="Don't ask.")
def purge(older_than: timedelta, tenant: str | None, reason: str | None, replayed: bool | None, yes: bool) -> None:
    """Delete old dead letters.

    Counts them first, and asks. What a replay has in hand at this moment stays.

    \b
    Examples:
      # what was replayed, after a week; for cron
      traksense-ingest dlq purge --older-than 7d \\
        --replayed --yes
      # everything from before last month, with a copy
      traksense-ingest dlq export --until 30d --output x.jsonl
      traksense-ingest dlq purge --older-than 30d
    """
    from ops.dlq.purge import purge_letters

    purge_letters(Selection(tenant=tenant, reason=reason, replayed=replayed), older_than, yes=yes)
