"""What `dlq export` writes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from ops.dlq import sql
from ops.dlq.counts import rows
from ops.dlq.ending import one_line
from ops.dlq.letter import letter_of
from ops.dlq.selection import Selection
from ops.dlq.table import table
from shared import config
from shared.config import Settings

PREFETCHED = 20  # rows in memory at once: a payload may be INGEST_MAX_PAYLOAD_BYTES long, or longer


def export_letters(selection: Selection, output: Path | None) -> None:
    """The command: all that is selected, into a file or to stdout."""
    settings = config.load()
    with one_line(settings), _opened(output) as file:
        written = asyncio.run(_export(settings, selection, file))
    if output:
        click.echo(f"{rows(written)} written to {output}", err=True)


async def _export(settings: Settings, selection: Selection, file: TextIO) -> int:
    written = 0
    async with table(settings.database_url) as connection, connection.transaction(readonly=True):
        async for row in connection.cursor(sql.LETTERS, *selection.arguments, prefetch=PREFETCHED):
            file.write(json.dumps(letter_of(row).as_dict(), ensure_ascii=False) + "\n")
            written += 1
    return written


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """stdout, or a file; one that can't be written is one line."""
    if path is None:
        yield sys.stdout
        return
    try:
        with _appearing(path) if path.is_file() or not path.exists() else path.open("w", encoding="utf-8") as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise click.ClickException(f"--output {path}: {error.strerror}") from None


@contextmanager
def _appearing(path: Path) -> Iterator[TextIO]:
    """A file that is there when the block ends well. Not for a device or a pipe: the file would take its place."""
    target = path.resolve()  # of a symbolic link, which stays
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
