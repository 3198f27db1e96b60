"""What `dlq show` shows: a dead letter's columns, its payload, and the payload in hex."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

import click

from traksense_ingest.ops.dlq.dead_letter import DeadLetter, Selection, dead_letter_from
from traksense_ingest.ops.dlq.dry_run import REJECTED, forecast_of
from traksense_ingest.ops.dlq.hexdump import HEX_LINES, hexdump
from traksense_ingest.ops.dlq.payload import kind_of_payload, wrong_byte
from traksense_ingest.ops.dlq.payload_text import payload_lines
from traksense_ingest.ops.dlq.table import LETTERS, open_table
from traksense_ingest.ops.forecast import Forecaster
from traksense_ingest.ops.terminal import at, number, printable
from traksense_ingest.ops.writers_mappings import warn_of_others
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.mapping.faults import MappingError
from traksense_ingest.shared.runtime.service import EXIT_FAILED


def show_dead_letter(id_: int, *, full: bool, as_json: bool) -> None:
    """The command: one dead letter; exits with 1 if there is none."""
    settings = config.load()
    letter = asyncio.run(_read(settings, id_))
    if letter is None:
        click.echo(f"{id_}: there is no such dead letter; `traksense-ingest dlq list` has the ids", err=True)
        sys.exit(EXIT_FAILED)
    if as_json:
        click.echo(json.dumps(letter.as_dict(), ensure_ascii=False))
    else:
        click.echo("\n".join(screen(letter, full=full, now=_now(letter, settings))))


async def _read(settings: Settings, id_: int) -> DeadLetter | None:
    async with open_table(settings.database_url) as connection:
        row = await connection.fetchrow(LETTERS, *Selection(ids=(id_,)).arguments)
        return dead_letter_from(row) if row else None


def _now(letter: DeadLetter, settings: Settings) -> str:
    """What would become of it with the mappings of INGEST_MAPPINGS."""
    try:
        forecaster = Forecaster(settings, REJECTED)
        asyncio.run(warn_of_others(settings, forecaster.mappings))
        forecast = forecast_of(letter, forecaster)
    except MappingError as error:
        errors = number(len(error.faults), "error")
        return f"not known: INGEST_MAPPINGS has {errors}; `traksense-ingest mapping lint` shows them"
    return f"{forecast.outcome}: {forecast.detail}"


def screen(letter: DeadLetter, *, full: bool, now: str | None = None) -> Iterator[str]:
    """Lines for a terminal; `now` is what would become of it."""
    for name, value in (*_facts(letter), *([("now", now)] if now else [])):
        yield f"{name:<11} {printable(value)}"
    yield f"\npayload, {number(len(letter.payload), 'byte')}{kind_of_payload(letter.payload, is_text=letter.is_text)}"
    yield from payload_lines(letter, full=full)
    yield "\nin hex"
    yield from hexdump(letter.payload, None if full else HEX_LINES, wrong_byte(letter.reason))


def _facts(letter: DeadLetter) -> Iterator[tuple[str, str]]:
    row = asdict(letter)
    yield "id", str(letter.id)
    yield "time (UTC)", at(letter.ts)
    yield "tenant", letter.tenant_id or "– (the topic names none)"
    yield "topic", letter.topic
    yield "reason", letter.reason
    yield "received", at(letter.received_at) if letter.received_at else "– (not kept by the version that stored it)"
    yield "deliveries", str(letter.deliveries)
    yield "entry", f"{letter.entry_id} of {letter.stream}"
    yield "sqlstate", row["sqlstate"] or "–"
    yield "replayed", at(letter.replayed_at) if letter.replayed_at else "never"
    if letter.replay_blocker:
        yield "to replay", f"not possible: {letter.replay_blocker}"
