"""The commands of `traksense-ingest dlq`: their options, and the texts of `--help`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click

from traksense_ingest.ops.appending.options import limit, rate
from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.dlq.options import ID, WHICH, age, reason, replayed_or_not, selectors, tenant
from traksense_ingest.ops.help import Command, Group, argument, option


@click.group(cls=Group)
def dlq() -> None:
    """List, show or replay dead letters.

    Messages that could not be stored, each with its exact bytes and a reason. `list`, `show` and `export` only read.
    All but `show`, which takes an id, choose by --tenant and --reason; `list`, `export` and `replay` also by --device,
    --text, --since and --until, `purge` by --older-than; `list`, `export` and `purge` by --replayed or --not-replayed.
    Needs DATABASE_URL with the tables' owner; `replay` also needs REDIS_URL with a receiver's permissions.

    \b
    Examples:
      # what was rejected, why, and would it be stored now?
      traksense-ingest dlq list --since 1d
      traksense-ingest dlq show 4711
      traksense-ingest dlq replay --since 1d --dry-run
      # once the writer is fixed
      traksense-ingest dlq replay --since 1d
      traksense-ingest dlq purge --older-than 30d --replayed
    """


@dlq.command("list", cls=Command)
@selectors
@replayed_or_not
@option("--limit", type=click.IntRange(0), default=20, help="List at most this many; 0: only the counts.")
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(
    tenant: str | None,
    reason: str | None,
    device: str | None,
    text: str | None,
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
      # of the last 8 hours, and not replayed
      traksense-ingest dlq list --since 8h --not-replayed
      # one tenant's that are not JSON or not the schema
      traksense-ingest dlq list --tenant acme \\
        --reason parse_error --limit 1000
      # for a script
      traksense-ingest dlq list --json | jq .counts
    """
    from traksense_ingest.ops.dlq.listing import list_dead_letters

    selection = Selection(
        tenant=tenant, reason=reason, device=device, text=text, since=since, until=until, replayed=replayed
    )
    list_dead_letters(selection, limit, as_json=as_json)


@dlq.command(cls=Command)
@argument("id_", metavar="ID", type=ID, explanation="Which one; `list` shows the ids.")
@option("--full", is_flag=True, help="Show the whole payload, however long it is.")
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(id_: int, full: bool, as_json: bool) -> None:
    """Show one dead letter, and what is wrong.

    Its message, with an arrow where the reason says that it is wrong.

    \b
    Examples:
      traksense-ingest dlq show 4711
      traksense-ingest dlq show 4711 --full | less
      # the exact bytes, into a file
      traksense-ingest dlq show 4711 --json |
        jq -j '.payload // (.payload_base64|@base64d)' > x
    """
    from traksense_ingest.ops.dlq.show import show_dead_letter

    show_dead_letter(id_, full=full, as_json=as_json)


@dlq.command(cls=Command)
@argument("ids", metavar="[ID]...", section=WHICH, type=ID, nargs=-1, explanation="With these ids; `list` shows them.")
@selectors
@option("--all", "everything", section=WHICH, is_flag=True, help="All that were not replayed yet.")
@option("--from-id", section=WHICH, type=ID, help="Of these, only those from this id on.")
@option("--again", section=WHICH, is_flag=True, help="Also those that were replayed before.")
@limit("Replay")
@rate("Replay")
@option("--dry-run", "dry", is_flag=True, help="Print what would become of each now; change nothing.")
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(
    ids: tuple[int, ...],
    tenant: str | None,
    reason: str | None,
    device: str | None,
    text: str | None,
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

    Their exact bytes, to a writer that may accept them now. Each is marked as replayed, and not replayed a second time
    without --again. What is rejected again becomes a new dead letter. A replay fills no stream by more than half of
    INGEST_QUEUE_MAX: it waits for the writers instead. INGEST_SHARDS, INGEST_QUEUE_MAX and INGEST_MAPPINGS must be
    those of the receivers and writers.

    Ctrl-C ends it after the current batch. Exit code 1 if something that was asked for is not done.

    A crash in the middle, or a Redis that is lost before it has answered, leaves at most 100 messages in the stream
    unmarked. They are replayed again then, which changes no stored row but an ACK's updated_at.

    \b
    Examples:
      # after a mapping was fixed: what would happen,
      # then ten of them, then all
      traksense-ingest dlq replay --since 3d --dry-run
      traksense-ingest dlq replay --since 3d --limit 10
      traksense-ingest dlq replay --since 3d
      # two of them, though they were replayed before
      traksense-ingest dlq replay 4711 4712 --again
    """
    selection = Selection(ids or None, tenant, reason, since, until, first=from_id, text=text, device=device)
    if everything != selection.is_everything:
        others = "--tenant, --reason, --device, --text, --since"
        message = f"--all: not together with ids, {others} or --until"
        raise click.UsageError(message if everything else f"which? ids, {others}, --until or --all.")
    from traksense_ingest.ops.dlq.replay import Job, replay_dead_letters

    replay_dead_letters(Job(selection, again, rate, limit), dry=dry, as_json=as_json)


@dlq.command(cls=Command)
@option(
    "--older-than",
    section=WHICH,
    callback=age,
    required=True,
    metavar="DURATION",
    help="Dead-lettered longer ago than this: 12h, 30d, 4w.",
)
@tenant
@reason
@replayed_or_not
@option("--yes", is_flag=True, help="Do not ask for confirmation.")
def purge(older_than: timedelta, tenant: str | None, reason: str | None, replayed: bool | None, yes: bool) -> None:
    """Delete old dead letters.

    Counts them first, and asks. Rows that a replay is working on are kept.

    \b
    Examples:
      # what was replayed, after a week; for cron
      traksense-ingest dlq purge --older-than 7d \\
        --replayed --yes
      # everything from before last month, with a copy
      traksense-ingest dlq export --until 30d --output x.jsonl
      traksense-ingest dlq purge --older-than 30d
    """
    from traksense_ingest.ops.dlq.purge import purge_dead_letters

    purge_dead_letters(Selection(tenant=tenant, reason=reason, replayed=replayed), older_than, yes=yes)


@dlq.command(cls=Command)
@selectors
@replayed_or_not
@option("--output", type=click.Path(dir_okay=False, path_type=Path), show_default="stdout", help="Into this file.")
def export(
    tenant: str | None,
    reason: str | None,
    device: str | None,
    text: str | None,
    since: datetime | None,
    until: datetime | None,
    replayed: bool | None,
    output: Path | None,
) -> None:
    """Write dead letters as JSON Lines.

    Oldest first, all columns. `payload` is the text if text holds the exact bytes; else there is `payload_base64`
    instead. The file appears when it is complete.

    \b
    Examples:
      # keep what a purge would delete
      traksense-ingest dlq export --until 30d --output x.jsonl
      # which firmware sends what can't be read?
      traksense-ingest dlq export --reason parse_error |
        jq -r .payload | jq -r .fw | sort | uniq -c
    """
    from traksense_ingest.ops.dlq.export import export_dead_letters

    selection = Selection(
        tenant=tenant, reason=reason, device=device, text=text, since=since, until=until, replayed=replayed
    )
    export_dead_letters(selection, output)
