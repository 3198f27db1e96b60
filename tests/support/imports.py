"""Messages to import, as a file and as a table, and the command `import` on them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tests.support import program
from tests.support.stack import Stack, telem
from traksense_ingest.ops.cli import main
from traksense_ingest.shared.streams.keys import key_of

RECEIVED = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)  # by whom once received the first of the messages


def history(count: int, devices: int = 7) -> list[tuple[str, bytes]]:
    """Messages of several devices, a point each; every fifth is rejected."""
    return [
        (f"traksense/t/site/dev{number % devices}/telem", b"rejected %d" % number)
        if number % 5 == 4
        else telem(f"dev{number % devices}", second=number)
        for number in range(count)
    ]


def json_lines(messages: Iterable[tuple[str, bytes]]) -> str:
    """A message received each second, as `dlq export` writes them."""
    return "".join(
        json.dumps({"topic": topic, "payload": payload.decode(), "received_at": received(number).isoformat()}) + "\n"
        for number, (topic, payload) in enumerate(messages)
    )


def received(number: int) -> datetime:
    """When a message was received."""
    return RECEIVED + timedelta(seconds=number)


async def make_table(stack: Stack, messages: Sequence[tuple[str, bytes]], payload: str = "bytea") -> None:
    """backend.raw_message, with keys that have gaps."""
    convert = "p" if payload == "bytea" else f"convert_from(p, 'UTF8')::{payload}"
    await stack.execute("CREATE SCHEMA backend")
    await stack.execute(
        "CREATE TABLE backend.raw_message ("
        f"id bigint PRIMARY KEY, topic text, payload {payload}, received_at timestamptz)"
    )
    await stack.fetch(
        f"INSERT INTO backend.raw_message SELECT 3 * n, t, {convert}, r"
        " FROM unnest($1::text[], $2::bytea[], $3::timestamptz[]) WITH ORDINALITY AS m (t, p, r, n)",
        [topic for topic, _ in messages],
        [payload for _, payload in messages],
        [received(number) for number in range(len(messages))],
    )


TABLE = ("--table", "backend.raw_message")


async def imports(stack: Stack, *words: object, given: bytes | None = None, **variables: object) -> Result:
    """The result of the command in this process."""
    environment = stack.addresses | {name: str(value) for name, value in variables.items()}
    runner = CliRunner(env={"COLUMNS": "80", **environment})
    return await asyncio.to_thread(runner.invoke, main, ["import", *map(str, words)], input=given)


async def succeeds(stack: Stack, *words: object, given: bytes | None = None, **variables: object) -> str:
    """What it says, where it ends with exit code 0."""
    done = await imports(stack, *words, given=given, **variables)
    assert done.exit_code == 0, done.output
    return done.stdout


class Import:
    """The command as a process of its own."""

    def __init__(self, stack: Stack, log: Path, *words: object, **variables: object) -> None:
        self._log = log
        environment = stack.addresses | {name: str(value) for name, value in variables.items()}
        with log.open("ab") as out:
            self.popen = program.Program("ops", "import", *map(str, words), environment=environment, stdout=out)

    @property
    def log(self) -> str:
        """What it and those before it have said."""
        return self._log.read_text()

    async def ends(self) -> int:
        """Its exit code."""
        return await asyncio.to_thread(self.popen.wait, 90)


async def appended(stack: Stack, shards: int = 1) -> int:
    """How many entries were ever added to the streams."""
    total = 0
    for shard in range(shards):
        if await stack.redis.exists(key_of(shard)):
            info: Any = await stack.redis.xinfo_stream(key_of(shard))
            total += int(info["entries-added"])
    return total
