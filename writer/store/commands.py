"""The commands of a batch into the table command: one row for each, however often it was sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from traksense_ingest.writer.outcome import CommandRow
from traksense_ingest.writer.store import sql


async def upsert_commands(connection: Any, commands: Sequence[CommandRow]) -> int:
    """Write a batch's commands; returns how many are new. Raises KeptOut."""
    rows = first_sendings(commands)
    if not rows:
        return 0
    returned = await connection.fetch(sql.UPSERT_COMMANDS, *sql.columns(rows))
    if len(returned) < len(rows):
        await sql.require(connection, "command", sql.MISSING_COMMANDS, [row[:3] for row in rows])
    return sum(row["is_new"] for row in returned)


def first_sendings(commands: Iterable[CommandRow]) -> list[CommandRow]:
    """Of each command the sending that was appended first, sorted by key, so that two writers can't deadlock."""
    first: dict[tuple[str, str, str], CommandRow] = {}
    for command in commands:
        known = first.setdefault(command[:3], command)
        if command.at < known.at:
            first[command[:3]] = command
    return [first[key] for key in sorted(first)]
