"""An import that is killed, again and again, appends each message once; and what is imported twice is stored once."""

from __future__ import annotations

import itertools
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_crash_points import Crash, crash_after, crash_before
from tests.support.budget import few_of
from tests.support.dead_letters import entries
from tests.support.imports import TABLE, Import, appended, history, imports, json_lines, make_table, succeeds
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.ops.imports.destination import Destination

pytestmark = pytest.mark.long  # of `make test-all`

COUNT, SHARDS = 1200, 3
REJECTED = COUNT // 5


async def kill_until_done(stack: Stack, log: Path, words: Sequence[object], chance: random.Random) -> None:
    """It is killed once at least: the streams have no room for everything until a writer runs."""
    for kills in itertools.count():
        rate = chance.choice((200, 400, 1000))  # which decides the size of the batches
        running = Import(stack, log, *words, "--rate", rate, INGEST_SHARDS=SHARDS, INGEST_QUEUE_MAX=400)
        goal = await appended(stack, SHARDS) + chance.randrange(1, 250)
        await eventually(lambda running=running, goal=goal: has_ended_or_appended(stack, running, goal))  # type: ignore[misc]
        running.popen.kill()
        code = await running.ends()
        if not kills:
            await stack.writer(INGEST_SHARDS=SHARDS)
        elif code == 0:
            return
        assert code == -signal.SIGKILL, running.log


async def has_ended_or_appended(stack: Stack, running: Import, goal: int) -> bool:
    return running.popen.poll() is not None or await appended(stack, SHARDS) >= goal


async def is_stored_once(stack: Stack) -> None:
    assert await appended(stack, SHARDS) == COUNT
    await eventually(lambda: is_drained(stack), "all is stored")
    assert await stack.count("ts_measure") == COUNT - REJECTED
    assert await stack.fetchval("SELECT count(DISTINCT payload) FROM ingest_errors") == REJECTED
    assert await stack.count("ingest_errors") == REJECTED


async def is_drained(stack: Stack) -> bool:
    return not any([await stack.backlog(shard) for shard in range(SHARDS)])


@pytest.mark.parametrize("seed", few_of(range(2), 1))
async def test_a_file_whose_import_is_killed_at_random_is_imported_once(
    stack: Stack, tmp_path: Path, seed: int
) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(json_lines(history(COUNT)))
    await kill_until_done(stack, tmp_path / "log", (file,), random.Random(seed))
    await is_stored_once(stack)


@pytest.mark.parametrize("seed", few_of(range(2), 1))
async def test_a_table_whose_import_is_killed_at_random_is_imported_once(
    stack: Stack, tmp_path: Path, seed: int
) -> None:
    await make_table(stack, history(COUNT))
    await kill_until_done(stack, tmp_path / "log", TABLE, random.Random(seed))
    await is_stored_once(stack)


def crash_in_a_batch() -> Any:
    """The first stream has its part of the batch; the second one does not."""
    run_script, calls = Destination.run_script, Counter[str]()

    async def crashing(self: Destination, *arguments: Any) -> Any:
        calls["all"] += 1
        if calls["all"] == 2:
            raise Crash
        return await run_script(self, *arguments)

    return crashing


SEAMS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "between two streams of a batch": ("run_script", lambda _function: crash_in_a_batch()),
    "before anything is appended": ("run_script", crash_before),
    "after a stream has its part": ("run_script", crash_after),
    "before the marks of the other streams move": ("advance", crash_before),
    "after they have moved": ("advance", crash_after),
}


@pytest.mark.parametrize("seam", SEAMS)
async def test_a_crash_at_each_step(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seam: str) -> None:
    sent, file = history(150, devices=4), tmp_path / "history.jsonl"
    file.write_text(json_lines(sent))
    name, crash = SEAMS[seam]
    with monkeypatch.context() as patch:
        patch.setattr(Destination, name, crash(getattr(Destination, name)))
        with pytest.raises(Crash):
            await imports(stack, file, INGEST_SHARDS=SHARDS)
    await succeeds(stack, file, "--rate", 100, INGEST_SHARDS=SHARDS)  # in smaller batches
    found = [message for shard in range(SHARDS) for message in await entries(stack, shard)]
    assert sorted(found) == sorted((topic.encode(), payload) for topic, payload in sent)
    for device in {topic for topic, _ in sent}:
        assert [payload for topic, payload in found if topic == device.encode()] == [
            payload for topic, payload in sent if topic == device
        ]
