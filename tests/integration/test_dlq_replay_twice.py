"""Replays at once, replays that crash, and replays after a new format is known: each message is stored once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.integration.test_crash_points import Crash, crash_after, crash_before, drain
from tests.support.dead_letters import TOPIC, dead_letter, dlq, entries, in_process, succeeds, unreplayed
from tests.support.stack import Stack
from traksense_ingest.ops.appending.pace import Pace
from traksense_ingest.ops.dlq.append import Streams, streams
from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.dlq.replayer import Replayer, ReplayQueue, Tally
from traksense_ingest.ops.dlq.table import open_table
from traksense_ingest.shared import config


async def replay_here(stack: Stack, tally: Tally) -> None:
    settings = config.load(database_url=stack.database_url, redis_url=stack.redis_server.url)
    async with open_table(stack.database_url) as connection, streams(settings) as targets:
        due, pace = await ReplayQueue.since_now(connection, Selection(), again=False), Pace(5000, targets.room)
        await Replayer(connection, due, targets, pace, asyncio.Event(), print, tally).run(None, None)


async def test_two_replays_at_once_share_the_rows(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each appends its first batch only when the other one has taken its own."""
    sent = [(TOPIC, b"%d" % number) for number in range(450)]
    await dead_letter(stack, *sent)
    append, both_have_taken = Streams.append, asyncio.Event()
    arrived: list[Streams] = []

    async def meeting(self: Streams, letters: Any) -> Any:
        arrived.append(self)
        if len(arrived) == 2:
            both_have_taken.set()
        await both_have_taken.wait()
        return await append(self, letters)

    monkeypatch.setattr(Streams, "append", meeting)
    tallies = Tally(), Tally()
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for tally in tallies:
            tasks.create_task(replay_here(stack, tally))
    assert all(tally.replayed for tally in tallies)
    assert sum(tally.replayed for tally in tallies) == len(sent)
    assert Counter(await entries(stack)) == Counter((topic.encode(), payload) for topic, payload in sent)
    assert await unreplayed(stack) == 0


async def test_three_commands_at_once(stack: Stack) -> None:
    sent = [(TOPIC, b"%d" % number) for number in range(600)]
    await dead_letter(stack, *sent)
    done = await asyncio.gather(*(dlq(stack, "replay", "--all", "--json", "--rate", 300) for _ in range(3)))
    assert sum(json.loads(one.stdout)["replayed"] for one in done) == len(sent)
    assert Counter(await entries(stack)) == Counter((topic.encode(), payload) for topic, payload in sent)
    assert await unreplayed(stack) == 0


async def test_what_another_replay_has_in_hand_is_passed_over(stack: Stack) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(5)))
    async with table_of(stack) as connection, connection.transaction():
        await connection.execute("SELECT FROM ingest_errors WHERE id <= 2 FOR UPDATE")
        done = await dlq(stack, "replay", "--all")
        assert (done.returncode, "3 messages replayed, 2 left" in done.stdout) == (1, True)
    assert [payload for _, payload in await entries(stack)] == [b"2", b"3", b"4"]


@asynccontextmanager
async def table_of(stack: Stack) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(stack.database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_crash_between_append_and_mark_replays_a_batch_twice_and_changes_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, vendor: Path
) -> None:
    await with_vendor_letters(stack, 250)
    with monkeypatch.context() as patch:
        patch.setattr(ReplayQueue, "mark", crash_before(ReplayQueue.mark))
        with pytest.raises(Crash):
            await in_process(stack, "replay", "--all")
    assert (await stack.backlog(), await unreplayed(stack)) == (100, 250)
    with monkeypatch.context() as patch:
        patch.setattr(ReplayQueue, "mark", crash_after(ReplayQueue.mark))
        with pytest.raises(Crash):
            await in_process(stack, "replay", "--all")
    assert (await stack.backlog(), await unreplayed(stack)) == (200, 250)
    with monkeypatch.context() as patch:
        patch.setattr(Streams, "append", crash_before(Streams.append))
        with pytest.raises(Crash):
            await in_process(stack, "replay", "--all")
    assert (await stack.backlog(), await unreplayed(stack)) == (200, 250)
    await succeeds(stack, "replay", "--all", "--rate", 5000)
    monkeypatch.setenv("INGEST_MAPPINGS", str(vendor))
    await drain(stack)
    assert (await stack.count("ts_measure"), await stack.count("ingest_errors")) == (250, 250)


VENDOR = """\
version: 1
name: vendor
tenant: {from: topic}
routes:
  - name: reading
    topics: "traksense/{tenant}/{site}/{device}/telem"
    when: {celsius: exists}
    time: {path: at}
    points: [{path: celsius, name: temp}]
"""


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """A mapping that did not exist when the messages came."""
    path = tmp_path / "vendor.yaml"
    path.write_text(VENDOR)
    return path


async def with_vendor_letters(stack: Stack, number: int) -> None:
    for_each = ({"celsius": n, "at": f"2025-10-07T15:{n // 60:02}:{n % 60:02}Z"} for n in range(number))
    await dead_letter(stack, *((TOPIC, json.dumps(message).encode()) for message in for_each))


async def test_once_a_mapping_knows_the_format_a_replay_gives_rows(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, vendor: Path
) -> None:
    await with_vendor_letters(stack, 20)
    await dead_letter(stack, (TOPIC, b"hopeless"))
    await dead_letter(stack, ("elsewhere", b"of another class"))
    output = await succeeds(stack, "replay", "--all", "--dry-run")
    assert "no vendor format recognises" in output
    assert output.splitlines()[-1] == "dry run, nothing was changed: 22 rejected again"
    monkeypatch.setenv("INGEST_MAPPINGS", str(vendor))
    dry = (await in_process(stack, "replay", "--all", "--dry-run")).stdout
    assert "1: would be stored: 1 row of ts_measure\n" in dry
    assert dry.splitlines()[-1] == "dry run, nothing was changed: 20 would be stored, 2 rejected again"
    assert (await stack.backlog(), await unreplayed(stack)) == (0, 22), "a dry run changes nothing"
    await succeeds(stack, "replay", "--reason", "parse_error")
    await drain(stack)
    assert await stack.count("ts_measure") == 20
    left = await stack.fetch("SELECT payload FROM ingest_errors WHERE replayed_at IS NULL ORDER BY id")
    assert [row["payload"] for row in left] == ["of another class", "hopeless"]
