"""What `dlq show` shows."""

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
from ops.dlq.payload import payload_lines
from ops.dlq.place import wrong_byte
from ops.dlq.readable import at, number, printable
from ops.dlq.selection import Selection
from ops.dlq.table import table
from shared import config
from shared.config import Settings
from shared.service import EXIT_FAILED

HEX_LINES = 16  # of the hexdump that are shown: 256 bytes


def show_letter(id_: int, *, full: bool, as_json: bool) -> None:
    """The command: one dead letter; exits with 1 where there is none."""
    settings = config.load()
    with one_line(settings):
        letter = asyncio.run(_read(settings, id_))
    if letter is None:
        click.echo(f"{id_}: there is no such dead letter; `traksense-ingest dlq list` has the ids", err=True)
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
