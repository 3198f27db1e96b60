"""`traksense-ingest dlq show`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

import click

from ops.dlq import sql
from ops.dlq.ending import one_line
from ops.dlq.hexdump import hexdump
from ops.dlq.letter import Letter, letter_of
from ops.dlq.options import ID
from ops.dlq.payload import payload_lines
from ops.dlq.place import wrong_byte
from ops.dlq.readable import at, number, printable
from ops.dlq.selection import Selection
from ops.dlq.table import table
from shared import config
from shared.config import Settings
from shared.service import EXIT_FAILED

HEX_LINES = 16  # of the hexdump that are shown: 256 bytes


@click.command()
@click.argument("id_", metavar="ID", type=ID)
@click.option("--full", is_flag=True, help="All of the payload, however long it is.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(id_: int, full: bool, as_json: bool) -> None:
    """Show one dead letter: its message, and where in it the reason is.

    \b
    The ids are those that `list` shows:
        traksense-ingest dlq show 4711
        traksense-ingest dlq show 4711 --full | less
    \b
    The exact bytes, into a file:
        traksense-ingest dlq show 4711 --json |
          jq -j '.payload // (.payload_base64 | @base64d)' > payload
    """
    settings = config.load()
    with one_line(settings):
        letter = asyncio.run(_read(settings, id_))
    if letter is None:
        click.echo(f"{id_}: there is no such dead letter", err=True)
        sys.exit(EXIT_FAILED)
    if as_json:
        click.echo(json.dumps(letter.as_dict(), ensure_ascii=False))
    else:
        click.echo("\n".join(screen(letter, full=full)))


async def _read(settings: Settings, id_: int) -> Letter | None:
    async with table(settings.database_url) as connection:
        row = await connection.fetchrow(sql.LETTERS, *Selection(ids=(id_,)).arguments)
        return letter_of(row) if row else None


def screen(letter: Letter, *, full: bool) -> Iterator[str]:
    """Lines for a person."""
    for name, value in _facts(letter):
        yield f"{name:<11} {printable(value)}"
    bytes_ = number(len(letter.payload), "byte")
    yield f"\npayload, {bytes_}{'' if letter.is_text else ', not all of it text'}"
    yield from payload_lines(letter, full=full)
    yield "\nin hex"
    yield from hexdump(letter.payload, None if full else HEX_LINES, wrong_byte(letter.reason))


def _facts(letter: Letter) -> Iterator[tuple[str, str]]:
    row = asdict(letter)
    yield "id", str(letter.id)
    yield "time (UTC)", at(letter.ts)
    yield "tenant", letter.tenant_id or "– (the topic names none)"
    yield "topic", letter.topic
    yield "reason", letter.reason
    yield "deliveries", str(letter.deliveries)
    yield "entry", f"{letter.entry_id} of {letter.stream}"
    yield "sqlstate", row["sqlstate"] or "–"
    yield "replayed", at(letter.replayed_at) if letter.replayed_at else "never"
    if letter.obstacle:
        yield "to replay", f"not possible: {letter.obstacle}"
