"""What `dlq export` writes: a JSON object for each dead letter, into a file that appears when it is complete."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TextIO

import click

from traksense_ingest.ops.database import each_row
from traksense_ingest.ops.dlq.dead_letter import Selection, dead_letter_from
from traksense_ingest.ops.dlq.listing import rows
from traksense_ingest.ops.dlq.table import LETTERS, open_table
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.database import in_transaction

AT_ONCE = 20  # rows in memory at once: a payload may be INGEST_MAX_PAYLOAD_BYTES long, or longer


def export_dead_letters(selection: Selection, output: Path | None) -> None:
    """The command: everything that is selected, to a file or stdout."""
    settings = config.load()
    with _opened(output) as file:
        written = asyncio.run(_export(settings, selection, file))
    if output:
        click.echo(f"{rows(written)} written to {output}", err=True)


async def _export(settings: Settings, selection: Selection, file: TextIO) -> int:
    written = 0
    async for line in exported(settings, selection):
        file.write(line)
        written += 1
    return written


async def exported(settings: Settings, selection: Selection) -> AsyncGenerator[str, None]:
    """A line of JSON for each dead letter that is selected, the oldest first. Raises IngestError."""
    async with (
        open_table(settings.database_url) as connection,
        in_transaction(connection, readonly=True),
        aclosing(each_row(connection, LETTERS, *selection.arguments, at_once=AT_ONCE)) as found,
    ):
        async for row in found:
            yield json.dumps(dead_letter_from(row).as_dict(), ensure_ascii=False) + "\n"


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """stdout, or a file; one that can't be written is one line."""
    if path is None:
        yield sys.stdout
        return
    try:
        with _complete(path) if path.is_file() or not path.exists() else path.open("w", encoding="utf-8") as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise click.ClickException(f"--output {path}: {error.strerror}") from None


@contextmanager
def _complete(path: Path) -> Iterator[TextIO]:
    """A file that appears when the block has succeeded. Not for a device or a pipe, which it would replace."""
    target = path.resolve()  # of a symbolic link, which stays
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
