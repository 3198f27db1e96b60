"""A replay that waits for room in the stream, is interrupted, or loses Redis."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support import program
from tests.support.dead_letters import TOPIC, dead_letter, entries, succeeds, unreplayed
from tests.support.stack import Stack, telem
from tests.support.streams import never_longer_than
from tests.support.waiting import eventually, watching
from traksense_ingest.shared.streams.keys import key_of


class Replay:
    """A replay as a process of its own."""

    def __init__(self, stack: Stack, log: Path, *arguments: str, **variables: object) -> None:
        self._log = log
        words = ("dlq", "replay", *arguments)
        environment = stack.environment | {name: str(value) for name, value in variables.items()}
        with log.open("wb") as out:
            self.popen = program.Program("ops", *words, environment=environment, stdout=out)

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def ends(self) -> int:
        return await asyncio.to_thread(self.popen.wait, 60)


async def is_left(stack: Stack, rows: int) -> bool:
    return await unreplayed(stack) == rows


async def holds(stack: Stack, entries_: int) -> bool:
    return await stack.backlog() >= entries_


@pytest.mark.long
async def test_a_replay_leaves_half_of_the_stream_to_the_devices(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(60)))
    for second in range(5):
        await stack.append(*telem(second=second))
    async with watching(never_longer_than(stack, 20)):
        replay = Replay(stack, tmp_path / "log", "--all", INGEST_QUEUE_MAX=41)
        await eventually(lambda: "waiting for the writers" in replay.log)
        assert (await stack.backlog(), await unreplayed(stack)) == (20, 45)
        oldest: Any = await stack.redis.xrange(key_of(0), count=3)
        for taken, (id_, _) in enumerate(oldest, start=1):
            await stack.redis.xdel(key_of(0), id_)
            await eventually(lambda taken=taken: is_left(stack, 45 - taken))  # type: ignore[misc]
        assert await stack.backlog() == 20
        writer = await stack.writer()
        assert await replay.ends() == 0
        await stack.has_rows("ingest_errors", 120)
    assert replay.log.count("waiting for the writers") == 1
    assert "ingest:{0} holds 20 entries" in replay.log
    assert writer.stop() == 0


async def test_ctrl_c_ends_a_replay_that_waits_for_room(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(5)))
    replay = Replay(stack, tmp_path / "log", "--all", INGEST_QUEUE_MAX=4)
    await eventually(lambda: "waiting for the writers" in replay.log)
    replay.popen.send_signal(signal.SIGTERM)
    assert await replay.ends() == 1
    assert "2 messages replayed, 3 left" in replay.log
    assert "Traceback" not in replay.log


async def test_ctrl_c_ends_it_after_the_batch_and_says_how_to_go_on(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(60)))
    replay = Replay(stack, tmp_path / "log", "--all", "--rate", "20")
    await eventually(lambda: holds(stack, 8))
    replay.popen.send_signal(signal.SIGINT)
    assert await replay.ends() == 1
    replayed = await stack.backlog()
    assert replayed < 60
    assert f"{replayed} messages replayed, {60 - replayed} left: the same command goes on with them" in replay.log
    assert "Traceback" not in replay.log
    assert await unreplayed(stack) == 60 - replayed
    assert f"{60 - replayed} messages replayed" in await succeeds(stack, "replay", "--all")
    assert [payload for _, payload in await entries(stack)] == [b"%d" % number for number in range(60)]


@pytest.mark.long
async def test_redis_goes_in_the_middle_and_what_is_marked_was_in_it(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(60)))
    replay = Replay(stack, tmp_path / "log", "--all", "--rate", "20")
    await eventually(lambda: holds(stack, 8))
    stack.redis_server.stop()
    assert await replay.ends() == 1
    message, failed = replay.log.splitlines()[-2:]
    assert failed.startswith("REDIS_URL=redis://127.0.0.1:")
    assert message.endswith("messages replayed, some left: the same command goes on with them")
    replayed = int(message.partition(" ")[0])
    assert (await unreplayed(stack), replayed >= 4) == (60 - replayed, True)
