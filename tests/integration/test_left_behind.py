"""INGEST_SHARDS was larger: what is in the streams that nobody writes to any more is stored all the same."""

from __future__ import annotations

import json

import pytest

from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import GROUP, key_of
from traksense_ingest.shared.streams.snapshot import read_snapshot


async def fill(stack: Stack, shard: int, count: int) -> None:
    for second in range(count):
        await stack.append(*telem(f"dev{shard}", second), shard=shard)


async def test_a_writer_with_fewer_shards_drains_the_others(stack: Stack) -> None:
    await fill(stack, 0, 10)
    await fill(stack, 5, 20)
    await fill(stack, 1023, 30)
    await stack.redis.xgroup_create(key_of(5), GROUP, id="0")
    await stack.redis.xreadgroup(GROUP, "dead", {key_of(5): ">"}, count=7)
    writer = await stack.writer(INGEST_SHARDS=1, INGEST_CLAIM_IDLE_MS=200)
    await stack.has_rows("ts_measure", 60)
    for shard, count in ((0, 10), (5, 20), (1023, 30)):
        await eventually(lambda shard=shard: _is_empty(stack, shard))  # type: ignore[misc]
        found = await read_snapshot(stack.clients, shard)
        assert (found.added, found.stored, found.in_stream, found.missing) == (count, count, 0, 0)
    assert writer.log.count("INGEST_SHARDS is 1: draining it") == 2
    assert writer.stop() == 0
    assert (await read_snapshot(stack.clients, 5)).pending == 0


async def _is_empty(stack: Stack, shard: int) -> bool:
    return await stack.backlog(shard) == 0


async def test_what_is_left_behind_is_shown(stack: Stack) -> None:
    await fill(stack, 5, 20)
    shards = json.loads((await stack.status("--json")).stdout)["shards"]
    assert [(shard["stream"], shard["in_stream"]) for shard in shards] == [(key_of(0), 0), (key_of(5), 20)]
    async with stack.locked("ts_measure"):
        writer = await stack.writer(INGEST_BATCH_SIZE=1)
        await eventually(lambda: writer.metric("ingest_queue_size") == 20)
        await eventually(lambda: writer.metric("ingest_pending") == 2)
        await eventually(lambda: writer.metric("ingest_oldest_entry_age_seconds") > 0)
        await eventually(lambda: _is_remembered(stack, 20))
        await stack.redis.flushall()
        await eventually(lambda: writer.metric("ingest_lost_entries") == 20)
        writer.kill()


@pytest.mark.long
async def test_what_went_with_a_shard_that_nobody_serves_is_noticed(stack: Stack) -> None:
    await fill(stack, 5, 20)
    async with stack.locked("ts_measure"):
        writer = await stack.writer(INGEST_SHARDS=6, INGEST_BATCH_SIZE=1)
        await eventually(lambda: _is_remembered(stack, 20))
        writer.kill()
    await stack.redis.flushall()
    checked = await stack.status()
    assert (checked.returncode, "ingest:{5}: 20 entries are lost" in checked.stdout) == (1, True)
    writer = await stack.writer(INGEST_SHARDS=1)
    await writer.says("20 entries that were not settled are gone")
    await eventually(lambda: writer.metric("ingest_lost_entries") == 20)
    accepted = await stack.status("--accept-loss")
    assert "ingest:{5}: 20 entries accepted as lost" in accepted.stdout
    await stack.is_well()


async def _is_remembered(stack: Stack, backlog: int) -> bool:
    rows = await stack.fetch("SELECT in_stream FROM stream_ledger WHERE stream = $1", key_of(5))
    return [row["in_stream"] for row in rows] == [backlog]
