"""The command `import`: its options, and the text of `--help`."""

from __future__ import annotations

from pathlib import Path

import click

from traksense_ingest.ops.appending.options import limit, rate
from traksense_ingest.ops.help import Command, argument, option

WHICH = "Which messages"
TABLE = "Of a table"


@click.command("import", cls=Command)
@argument(
    "file",
    metavar="[FILE]",
    section=WHICH,
    required=False,
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    explanation="JSON Lines, also compressed with gzip; - is standard input.",
)
@option("--table", section=WHICH, metavar="NAME", help="A table or view of a PostgreSQL database: raw, or backend.raw.")
@option("--skip-invalid", section=WHICH, is_flag=True, help="Leave out lines or rows that are no messages.")
@option("--database-url", section=TABLE, metavar="URL", show_default="DATABASE_URL", help="The database of the table.")
@option("--topic", section=TABLE, metavar="COLUMN", show_default="topic", help="The column with the topic.")
@option(
    "--payload",
    section=TABLE,
    metavar="COLUMN",
    show_default="payload",
    help="The column with the payload: bytea is taken as it is, any other type as text.",
)
@option(
    "--received-at",
    section=TABLE,
    metavar="COLUMN",
    show_default="received_at, ts or created_at, if there is one",
    help="The column with the time of receipt, a timestamp.",
)
@option(
    "--key",
    section=TABLE,
    metavar="COLUMN",
    show_default="the primary key",
    help="A column with unique values and an index; messages are imported in its order.",
)
@limit("Import")
@rate("Import")
@option("--restart", is_flag=True, help="Begin again, although an earlier import has got further.")
@option("--dry-run", "dry", is_flag=True, help="Print what would become of the messages; change nothing.")
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_(
    file: Path | None,
    table: str | None,
    skip_invalid: bool,
    database_url: str | None,
    topic: str | None,
    payload: str | None,
    received_at: str | None,
    key: str | None,
    limit: int | None,
    rate: float,
    restart: bool,
    dry: bool,
    as_json: bool,
) -> None:
    """Import history from a file or a table.

    Puts messages into the streams with their exact bytes, topics and times of receipt. A line of FILE is a JSON object
    with `topic`, `payload` (or `payload_base64`, `payload_hex`) and `received_at`, as `dlq export` writes it. Without a
    time of receipt a message counts as received now. If one line or row is no message, nothing is imported.

    An import fills no stream by more than half of INGEST_QUEUE_MAX: it waits for the writers instead. INGEST_SHARDS,
    INGEST_QUEUE_MAX and INGEST_MAPPINGS must be those of the receivers and writers. Needs REDIS_URL with a receiver's
    permissions.

    Ctrl-C ends it after the current batch. The same command goes on where the last one ended, however it ended, and
    imports nothing twice. Exit code 1 if something that was asked for is not done.

    \b
    Examples:
      # what would become of the messages? then all of them
      traksense-ingest import history.jsonl --dry-run
      traksense-ingest import history.jsonl --rate 2000
      # a table of another database
      traksense-ingest import --table backend.raw_message \\
        --received-at arrived_at \\
        --database-url postgresql://me@db/backend
      # rejected messages, from one installation to another
      traksense-ingest import dead-letters.jsonl.gz
    """
    if (file is None) == (table is None):
        raise click.UsageError("which messages? FILE or --table" if file is None else "FILE and --table: one is enough")
    of_table = {
        "--database-url": database_url,
        "--topic": topic,
        "--payload": payload,
        "--received-at": received_at,
        "--key": key,
    }
    if table is None and (given := [name for name, value in of_table.items() if value is not None]):
        raise click.UsageError(f"{given[0]}: only with --table")
    from traksense_ingest.ops.imports.run import Job, Table, import_messages
    from traksense_ingest.ops.imports.table import Columns

    columns = Columns(topic or "topic", payload or "payload", received_at, key)
    what = file if table is None else Table(table, columns, database_url)
    assert what is not None  # noqa: S101  (one of them is given)
    import_messages(Job(what, rate, limit, skip_invalid, restart), dry=dry, as_json=as_json)
