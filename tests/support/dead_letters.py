"""Dead letters: one without a database, those in a stack's table, and the commands of `dlq` on them."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime

from click.testing import CliRunner, Result

from tests.integration.test_crash_points import drain
from tests.support import streams
from tests.support.stack import Stack, telem
from traksense_ingest.ops.cli import main
from traksense_ingest.ops.dlq.dead_letter import DeadLetter

TOPIC = "traksense/t/site/dev/telem"
TIME = datetime(2026, 1, 1, tzinfo=UTC)
BYTES = [b"not json", b" ", b"a\0b", b"\xff\xfe binary", b"\r\n\t", bytes(range(256)), "é◀😀".encode(), b'{"a":\x00}']


async def dlq(stack: Stack, *arguments: object, **variables: object) -> subprocess.CompletedProcess[str]:
    """What a command says on 80 columns, in a pipe, as a process of its own."""
    return await stack.command("dlq", *map(str, arguments), **variables)


async def in_process(stack: Stack, *arguments: object, **variables: object) -> Result:
    """The result of a command in this process: it costs less, and finds what a test has changed in the code."""
    environment = stack.environment | {name: str(value) for name, value in variables.items()}
    runner = CliRunner(env={"COLUMNS": "80", **environment})
    return await asyncio.to_thread(runner.invoke, main, ["dlq", *map(str, arguments)])


async def succeeds(stack: Stack, *arguments: object, **variables: object) -> str:
    """What a command in this process says, which ends with exit code 0."""
    done = await in_process(stack, *arguments, **variables)
    assert done.exit_code == 0, done.output
    return done.stdout


async def dead_letter(stack: Stack, *messages: tuple[str | bytes, bytes]) -> None:
    """A writer takes the messages, all of them poison."""
    before = await stack.count("ingest_errors")
    await streams.append_all(stack, messages)
    await drain(stack)
    assert await stack.count("ingest_errors") == before + len(messages)


async def storable_letters(stack: Stack, count: int) -> None:
    """Rows of messages that would be stored now, as a writer that did not know their format has left them."""
    await stack.fetch(
        """INSERT INTO ingest_errors
               (tenant_id, topic, payload, reason, error_class, stream, entry_id, deliveries, received_at)
           SELECT 't', $2, replace($3, '15:30:00', to_char(timestamp '2025-10-07' + number * interval '1 s', $4)),
               'parse_error: points.' || number || '.v: wrong', 'parse_error', 'ingest:{0}', number || '-9', 1, now()
           FROM generate_series(1, $1::integer) AS number""",
        count,
        telem()[0],
        telem()[1].decode(),
        "HH24:MI:SS",
    )


async def entries(stack: Stack, shard: int = 0) -> list[tuple[bytes, bytes]]:
    """Topic and payload of what is in a stream, in order."""
    return [(fields[b"topic"], fields[b"payload"]) for fields in await streams.entries(stack, shard)]


async def unreplayed(stack: Stack) -> int:
    """Dead letters that were not replayed."""
    return int(await stack.fetchval("SELECT count(*) FROM ingest_errors WHERE replayed_at IS NULL"))


def letter(payload: bytes, reason: str = "parse_error: payload: wrong", topic: str = TOPIC) -> DeadLetter:
    """One as it would be read from the table."""
    class_ = reason.partition(":")[0]
    is_text = b"\0" not in payload and payload.decode(errors="ignore").encode() == payload
    return DeadLetter(1, TIME, "t", topic, payload, is_text, reason, class_, None, "ingest:{0}", "1-0", 1, TIME, None)
