"""`mapping try`, `diff` and `new` on real servers: the broker, the DLQ and the streams, none of which they change."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.dead_letters import dead_letter
from tests.support.mapping_files import TOPIC, reading, readings
from tests.support.stack import Stack
from tests.support.streams import append_all
from traksense_ingest.shared.streams.keys import GROUP, key_of

LISTENING = "listening to "


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "readings.yaml"
    file.write_text(readings())
    return file


@asynccontextmanager
async def listening(stack: Stack, *words: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command that is subscribed; it is killed at the end of the block, if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "traksense_ingest.ops", "mapping", *map(str, words)),
        env={"PYTHONPATH": os.pathsep.join(sys.path), **stack.environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    line = (await process.stderr.readline()).decode()
    assert line.startswith(LISTENING), line
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """What it says after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    return stdout.decode(), stderr.decode()


async def test_try_live_shows_what_comes_and_saves_it(stack: Stack, file: Path, tmp_path: Path) -> None:
    capture = tmp_path / "c.jsonl"
    async with listening(stack, "try", file, "--live", "10m", "--save", capture) as process:
        await stack.publish((TOPIC, reading()), ("readings/a/b/c", b"x"), ("elsewhere/a", b"x"))
        assert process.stdout
        first = [(await process.stdout.readline()).decode().rstrip() for _ in range(5)]
        second = await process.stdout.readuntil(b"dead letter")
        rest, _ = await ended(process)
    assert first[0].startswith(f"{TOPIC}  20")
    assert first[1:] == [
        "readings/reading: 1 row",
        "  acme/plant1/n7  2026-01-02T03:04:05Z",
        "  point  value  unit",
        "  temp   4.5",
    ]
    assert b"readings/a/b/c" in second
    assert rest.endswith("2 messages: 1 would be stored, 1 dead letter; nothing was changed\n")
    assert [json.loads(line)["topic"] for line in capture.read_text().splitlines()] == [TOPIC, "readings/a/b/c"]


async def test_what_is_listened_to_still_reaches_the_receiver(stack: Stack, file: Path) -> None:
    await stack.receiver(INGEST_MAPPINGS=file, MQTT_SHARED_GROUP="")
    await stack.writer(INGEST_MAPPINGS=file)
    async with listening(stack, "try", file, "--live", "10m", "--topic", "readings/#", "--json") as process:
        await stack.publish((TOPIC, reading()))
        assert process.stdout
        shown = json.loads(await process.stdout.readline())
        await stack.has_rows("ts_measure", 1)
    assert (shown["topic"], shown["outcome"], len(shown["rows"])) == (TOPIC, "stored", 1)


@pytest.mark.long
async def test_new_live_drafts_from_what_comes(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "boiler.yaml"
    async with listening(stack, "new", "--live", "10m", "boiler/#", "--tenant", "acme", "-o", file) as process:
        await stack.publish(*((f"boiler/dev-00{n}", b'{"temp": %d.5}' % n) for n in (1, 2)))
        async with listening(stack, "try", "khomp", "--live", "10m", "--topic", "boiler/#") as other:
            await stack.publish(("boiler/dev-003", b'{"temp": 3.5}'))
            assert other.stdout
            await other.stdout.readline()  # the broker has sent it to both
        _, said = await ended(process)
    assert "drafted from 3 messages: 1 route and 3 tests, which pass" in said
    assert 'topics: "boiler/{device}"' in file.read_text()
    assert (await stack.command("mapping", "test", str(file))).stdout == "3 tests of 1 mapping: none failed\n"


async def test_new_says_what_was_rejected_before(stack: Stack) -> None:
    one = ("new", "--topic", "boiler/dev-003", "--payload", '{"temp": 3.5}', "--tenant", "acme")
    assert "rejected before" not in (await stack.command("mapping", *one)).stderr
    await dead_letter(stack, ("boiler/dev-001", b"{}"), ("boiler/dev-002", b"{}"), ("elsewhere", b"x"))
    said = (await stack.command("mapping", *one)).stderr.splitlines()
    assert said[-2:] == [
        "  # 2 messages on these topics were rejected before",
        "  traksense-ingest dlq replay --reason invalid_topic --dry-run",
    ]


async def test_nothing_that_comes_is_exit_code_1(stack: Stack) -> None:
    done = await stack.command("mapping", "new", "--live", "1s", "nobody/#")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("no message came: is the topic filter right, and does the device send now?\n")


async def test_a_broker_that_is_not_there_is_one_line(stack: Stack, file: Path) -> None:
    done = await stack.command("mapping", "try", str(file), "--live", "1s", MQTT_URL="mqtt://127.0.0.1:1")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("MQTT_URL=mqtt://127.0.0.1:1: broker: ")


async def test_a_dead_letter_is_tried_and_compared(stack: Stack, file: Path, tmp_path: Path) -> None:
    await dead_letter(stack, (TOPIC, reading()), (TOPIC, reading(6)), ("elsewhere", b"x"))
    tried = await stack.command("mapping", "try", str(file), "--dlq", "1", "--json")
    assert tried.returncode == 0, tried.stderr
    assert [row["v_num"] for row in json.loads(tried.stdout)["rows"]] == [4.5]
    absent = await stack.command("mapping", "try", str(file), "--dlq", "99")
    assert (absent.returncode, absent.stderr) == (
        1,
        "99: there is no such dead letter; `traksense-ingest dlq list` has the ids\n",
    )
    new = tmp_path / "new.yaml"
    new.write_text(readings("{path: temp, scale: 2}"))
    everything = await stack.command("mapping", "diff", str(file), str(new), "--dlq")
    assert everything.returncode == 1
    assert (
        everything.stdout.splitlines()[-1] == "3 messages, 2 with a difference; rows: 0 added, 0 removed, 2 different"
    )
    some = await stack.command("mapping", "diff", str(file), str(new), "--dlq", "--until", "1d")
    assert (some.returncode, some.stdout) == (0, "no messages\n")
    assert await stack.fetchval("SELECT count(*) FROM ingest_errors WHERE replayed_at IS NULL") == 3


async def test_entries_of_the_streams_are_read_and_stay(stack: Stack, file: Path) -> None:
    await append_all(stack, [(TOPIC, reading(second)) for second in range(3)])
    before = await stack.redis.xrange(key_of(0))
    tried = await stack.command("mapping", "try", str(file), "--stream", "2", "--json")
    assert tried.returncode == 0, tried.stderr
    times = [json.loads(line)["rows"][0]["ts"] for line in tried.stdout.splitlines()]
    assert times == ["2026-01-02T03:04:01Z", "2026-01-02T03:04:02Z"]
    assert await stack.redis.xrange(key_of(0)) == before
    assert GROUP.encode() not in [group["name"] for group in await stack.redis.xinfo_groups(key_of(0))]


async def test_show_says_what_would_become_of_a_dead_letter_now(stack: Stack, file: Path) -> None:
    await dead_letter(stack, (TOPIC, reading()))

    async def now(mappings: object) -> str:
        shown = (await stack.command("dlq", "show", "1", INGEST_MAPPINGS=mappings)).stdout
        (line,) = [line for line in shown.splitlines() if line.startswith("now ")]
        return line.removeprefix("now").strip()

    assert await now(file) == "would be stored: 1 row of ts_measure"
    assert (await now("")).startswith("rejected again: invalid_topic: ")
    file.write_text("version: 2")
    assert await now(file) == ("not known: INGEST_MAPPINGS has 3 errors; `traksense-ingest mapping lint` shows them")
