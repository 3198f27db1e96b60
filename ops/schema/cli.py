"""The command `migrate` and its options."""

from __future__ import annotations

import sys
from pathlib import Path

import click

CSV = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--drop-aggregates", is_flag=True, help="Drop aggregates that are not in INGEST_AGGREGATES, with their data."
)
@click.option("--recover-rows", is_flag=True, help="Restore rows of ts_measure that no query shows; see status.")
@click.option("--adopt", is_flag=True, help="Take over a database of the first version.")
@click.option("--dry-run", is_flag=True, help="With --adopt: show what it would do, and change nothing.")
@click.option("--tenant-map", type=CSV, metavar="FILE", help="With --adopt: names of tenants, lines of old,new.")
@click.option("--device-map", type=CSV, metavar="FILE", help="With --adopt: names of devices, lines of tenant,old,new.")
@click.option("--point-map", type=CSV, metavar="FILE", help="With --adopt: names of points, lines of old,new.")
@click.option("--keep-ids", is_flag=True, help="With --adopt: take no names from the platform's own tables.")
@click.option("--compat-views", is_flag=True, help="Create views with the names and columns of the first version.")
@click.option("--undo-adopt", is_flag=True, help="Put the tables of the first version back in their place.")
@click.option("--drop-v1", is_flag=True, help="Drop the tables of the first version, once they are copied.")
@click.option("--yes", is_flag=True, help="With --drop-v1: do not ask.")
def migrate(
    *,
    drop_aggregates: bool,
    recover_rows: bool,
    adopt: bool,
    dry_run: bool,
    tenant_map: Path | None,
    device_map: Path | None,
    point_map: Path | None,
    keep_ids: bool,
    compat_views: bool,
    undo_adopt: bool,
    drop_v1: bool,
    yes: bool,
) -> None:
    """Bring the database up to date.

    Applies the migrations that the database lacks, then sets retention, compression and aggregates as
    INGEST_RETENTION_DAYS, INGEST_DLQ_RETENTION_DAYS, INGEST_COMPRESS_AFTER_DAYS and INGEST_AGGREGATES ask; a variable
    that was changed or unset changes or removes its policy. Prints a line for each change. Safe to run at any time, and
    from several hosts at once. Waits for a server that is unreachable; exit code 1 if it answers but can't be used: a
    standby, a restore in progress, TimescaleDB not loaded. Connect as the tables' owner, the first time as a role that
    may create roles. MIGRATE_DATABASE_URL, if it is set, is used instead of DATABASE_URL.

    With --adopt it takes over a database of the first version: the old tables move to the schema v1, and their rows are
    copied while writers write. It may be killed and run again. docs/migrating.md has the steps.

    \b
    Examples:
      traksense-ingest migrate
      # a database of your own
      DATABASE_URL=postgresql://postgres@db/traksense \\
        traksense-ingest migrate
      # rows for 90 days, compressed after 7
      INGEST_RETENTION_DAYS=90 INGEST_COMPRESS_AFTER_DAYS=7 \\
        traksense-ingest migrate
      # the first version's database: what would be done
      traksense-ingest migrate --adopt --dry-run
    """
    from traksense_ingest.ops.adopt.command import Adoption
    from traksense_ingest.ops.schema.command import Request, run

    if not adopt and (dry_run or tenant_map or device_map or point_map or keep_ids):
        raise click.UsageError("--dry-run, --tenant-map, --device-map, --point-map and --keep-ids go with --adopt")
    if adopt + undo_adopt + drop_v1 > 1:
        raise click.UsageError("--adopt, --undo-adopt and --drop-v1 exclude each other")
    request = Request(
        drop_aggregates=drop_aggregates,
        recover_rows=recover_rows,
        adoption=Adoption(tenant_map, device_map, point_map, keep_ids) if adopt else None,
        dry_run=dry_run,
        compat_views=compat_views,
        undo_adopt=undo_adopt,
        drop_v1=drop_v1,
        yes=yes,
    )
    sys.exit(run(request))
