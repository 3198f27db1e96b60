"""Entries added = stored + dead-lettered + in the stream: exactly, at any instant, whatever is killed."""

from __future__ import annotations

import json
import signal

import pytest

from tests.support.budget import IS_FULL
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually, watching
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.shared.streams.snapshot import read_snapshot

ROUNDS = 3 if IS_FULL else 2


async def agrees_for_ever(stack: Stack) -> None:
    while True:
        shard = await read_snapshot(stack.clients, 0)
        assert shard.missing == 0, shard


@pytest.mark.long
async def test_it_adds_up_at_any_instant_while_writers_are_killed_and_frozen(stack: Stack) -> None:
    await stack.receiver()
    total, logs = 0, []
    async with watching(agrees_for_ever(stack)):
        for round_ in range(ROUNDS):
            frozen = await stack.writer(INGEST_CLAIM_IDLE_MS=300, INGEST_BATCH_MS=100)
            killed = await stack.writer(INGEST_CLAIM_IDLE_MS=300, INGEST_BATCH_MS=100)
            messages = [telem(f"dev{round_}", second) for second in range(300)]
            bad = [("traksense/t/s/dev/telem", b"poison %d" % number) for number in range(30)]
            await stack.publish(*messages, *bad)
            total += 330
            frozen.signal(signal.SIGSTOP)
            killed.kill()
            other = await stack.writer(INGEST_CLAIM_IDLE_MS=300)
            await eventually(lambda: _is_empty(stack))
            frozen.signal(signal.SIGCONT)
            assert frozen.stop() == 0
            assert other.metric("ingest_lost_entries") == 0
            assert other.stop() == 0
            logs += [frozen.log, killed.log, other.log]
    shard = await read_snapshot(stack.clients, 0)
    assert (shard.added, shard.stored, shard.dead_lettered, shard.in_stream) == (total, 300 * ROUNDS, 30 * ROUNDS, 0)
    assert await stack.count("ingest_errors") == 30 * ROUNDS
    assert [row["lost"] for row in await stack.fetch("SELECT lost FROM stream_ledger")] == [0]
    assert not [log for log in logs if "are gone" in log or "another client" in log]
    await stack.is_well()


async def _is_empty(stack: Stack) -> bool:
    return await stack.backlog() == 0


async def test_entries_that_another_client_removes_are_noticed_with_their_number(stack: Stack) -> None:
    for second in range(10):
        await stack.append(*telem(second=second))
    await stack.is_well()
    await stack.redis.xtrim(key_of(0), maxlen=7, approximate=False)
    checked = await stack.status()
    assert checked.returncode == 1
    assert "3 entries were removed by another client" in checked.stdout
    assert max(map(len, checked.stdout.splitlines())) <= 80
    report = json.loads((await stack.status("--json")).stdout)
    assert (report["balanced"], report["shards"][0]["missing"], report["shards"][0]["in_stream"]) == (False, 3, 7)


async def test_a_stream_that_was_deleted_is_noticed(stack: Stack) -> None:
    await stack.append(*telem())
    writer = await stack.writer()
    await stack.has_rows("ts_measure", 1)
    assert writer.stop() == 0  # it would begin the ledger again
    await stack.redis.delete(key_of(0))
    checked = await stack.status()
    assert (checked.returncode, "was deleted and recreated" in checked.stdout) == (1, True)


async def test_an_empty_redis_is_fine(stack: Stack) -> None:
    checked = await stack.status()
    assert (checked.returncode, "no writer is running" in checked.stdout) == (0, True)
