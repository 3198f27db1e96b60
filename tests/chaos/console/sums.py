"""The sums on the pages at the end, against the ledger and the tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

import asyncpg

from tests.chaos.console.visitor import Visitor
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.snapshot import StreamSnapshot

_NUMBER = r"(\d[\d ]*)"
_LEDGER = re.compile(rf"{_NUMBER} added = {_NUMBER} stored \+ {_NUMBER} dead-lettered \+ {_NUMBER} ignored")
_LETTERS = re.compile(rf"{_NUMBER} dead letters,")
_DEVICES = re.compile(rf"{_NUMBER} in all")
_COUNT = "SELECT count(*) FROM {}"


async def compare(visitor: Visitor, connection: asyncpg.Connection, shard: StreamSnapshot) -> None:
    """Nothing changes any more: what the pages show a second later is all of it."""
    ledger = shard.added, shard.stored, shard.dead_lettered, shard.ignored
    await _has(visitor, "/", _LEDGER, ledger)
    for path, pattern, table in (("/dead", _LETTERS, "ingest_errors"), ("/devices", _DEVICES, "device")):
        await _has(visitor, path, pattern, (await connection.fetchval(_COUNT.format(table)),))


async def _has(visitor: Visitor, path: str, pattern: re.Pattern[str], expected: Sequence[int]) -> None:
    found: Sequence[int] | None = None

    async def is_shown() -> bool:
        nonlocal found
        answer = await visitor.visit(path)
        match = pattern.search(answer.text) if answer else None
        found = tuple(int(number.replace(" ", "")) for number in match.groups()) if match else None
        return found == expected

    try:
        await eventually(is_shown, timeout=15)
    except AssertionError:
        visitor.note(f"{path} shows {found} at the end, and there are {expected}")
