"""`traksense-ingest dlq replay`."""

from __future__ import annotations

from datetime import datetime

import click

from ops.dlq.options import ID, WHICH, selectors
from ops.dlq.selection import Selection
from ops.help import Command, argument, option

PACE = "How much, how fast"
RATE_MAX = 100_000.0  # messages/s; no stream takes more


@click.command(cls=Command)
@argument("ids", metavar="[ID]...", section=WHICH, type=ID, nargs=-1, told="With these ids, which `list` shows.")
@selectors
@option("--all", "everything", section=WHICH, is_flag=True, help="All that were not replayed yet.")
@option("--from-id", section=WHICH, type=ID, help="Of these, only those from this id on.")
@option("--again", section=WHICH, is_flag=True, help="Also what was replayed before.")
@option("--limit", section=PACE, type=click.IntRange(1), show_default="no limit", help="Messages at most.")
@option(
    "--rate",
    section=PACE,
    type=click.FloatRange(0, RATE_MAX, min_open=True),
    default=500.0,
    help="Messages/s at most.",
)
@option("--dry-run", "dry", is_flag=True, help="Say what each would become now, and change nothing.")
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(
    ids: tuple[int, ...],
    tenant: str | None,
    reason: str | None,
    since: datetime | None,
    until: datetime | None,
    everything: bool,
    from_id: int | None,
    again: bool,
    limit: int | None,
    rate: float,
    dry: bool,
    as_json: bool,
) -> None:
    """Put dead letters through the stream again.

    The exact bytes, to a writer that may know better now. Each is marked as replayed and not replayed a second time, by
    whomever, but with --again. What is rejected again becomes a new dead letter. A replay fills no stream by more than
    half of INGEST_QUEUE_MAX: it waits for the writers instead. INGEST_SHARDS and INGEST_QUEUE_MAX must be those of the
    receivers.

    Ctrl-C ends it after the batch in hand. Exit code 1 when something of what was asked for is left.

    A crash in the middle, or a Redis that is lost before it has answered, leaves at most 100 messages unmarked that
    are in the stream. They are replayed again then, which changes no row that is stored but an ACK's updated_at.

    \b
    Examples:
      # after an adapter was fixed: what would come of it,
      # then ten of them, then all
      traksense-ingest dlq replay --since 3d --dry-run
      traksense-ingest dlq replay --since 3d --limit 10
      traksense-ingest dlq replay --since 3d
      # two of them, though they were replayed before
      traksense-ingest dlq replay 4711 4712 --again
    """
    selection = Selection(ids or None, tenant, reason, since, until, first=from_id)
    if everything != selection.is_everything:
        both = "--all: not together with ids, --tenant, --reason, --since or --until"
        raise click.UsageError(both if everything else "which? ids, --tenant, --reason, --since, --until or --all.")
    from ops.dlq.replay import Job, replay_letters

    replay_letters(Job(selection, again, rate, limit), dry=dry, as_json=as_json)
