"""Entries that go without a writer, by XTRIM, XDEL, DEL, FLUSHALL or an older Redis: noticed, with the number."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.budget import few_of
from tests.support.ledgers import GONE, append_only, delete, fill, flush, remembers, start_redis
from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams import client as stream
from traksense_ingest.shared.streams.keys import key_of, ledger_of
from traksense_ingest.shared.streams.snapshot import read_snapshot
from traksense_ingest.writer.read.consumer import Consumer, SettlementKey


@asynccontextmanager
async def held_backlog(stack: Stack, count: int, **variables: object) -> AsyncIterator[Process]:
    """A writer that knows of so many entries, can't store one, and has one or two of them in hand."""
    async with stack.locked("ts_measure"):
        writer = await stack.writer(INGEST_BATCH_SIZE=1, **variables)
        await fill(stack, count)
        await remembers(stack, in_stream=count)
        yield writer


async def restart(stack: Stack) -> None:
    stack.redis_server.kill()
    shutil.rmtree(append_only(stack))
    await start_redis(stack)


WAYS = {"FLUSHALL": flush, "a restart without the append-only file": restart, "DEL": delete}


@pytest.mark.long
@pytest.mark.parametrize("way", few_of(WAYS, 1))
async def test_a_stream_that_goes_is_noticed_with_what_was_in_it(stack: Stack, way: str) -> None:
    writer = await stack.writer()
    await fill(stack, 30, "stored")
    await stack.has_rows("ts_measure", 30)
    assert writer.stop() == 0
    async with held_backlog(stack, 20) as writer:
        await WAYS[way](stack)
        await writer.says("20 entries that were not settled are gone")
        await eventually(lambda: writer.metric("ingest_lost_entries") == 20)
        await remembers(stack, lost=20, in_stream=0)
        writer.kill()  # with what it had in hand
    checked = await stack.status()
    assert (checked.returncode, "20 entries are lost" in checked.stdout) == (1, True), checked.stdout
    other = await stack.writer()
    await fill(stack, 5, "new")
    await stack.has_rows("ts_measure", 35)
    await eventually(lambda: other.metric("ingest_lost_entries") == 20)
    report = json.loads((await stack.status("--json")).stdout)
    shard = report["shards"][0]
    assert (report["balanced"], shard["missing"], shard["lost"], shard["in_stream"]) == (False, 0, 20, 0)
    assert "gone" not in other.log

    accepted = await stack.status("--accept-loss")
    assert (accepted.returncode, accepted.stdout) == (0, "ingest:{0}: 20 entries accepted as lost\n")
    await stack.is_well()
    await eventually(lambda: other.metric("ingest_lost_entries") == 0)


async def test_a_stream_that_goes_while_no_writer_runs_and_grows_beyond_what_it_was(stack: Stack) -> None:
    async with held_backlog(stack, 20) as writer:
        writer.kill()
    await flush(stack)
    await fill(stack, 50)
    checked = await stack.status()
    assert (checked.returncode, "20 entries are lost" in checked.stdout) == (1, True), checked.stdout
    writer = await stack.writer()
    await writer.says("20 entries that were not settled are gone")
    await stack.has_rows("ts_measure", 50)
    await remembers(stack, lost=20, in_stream=0, added=50, stored=50)
    assert len(GONE.findall(writer.log)) == 1


async def test_two_writers_count_it_once(stack: Stack) -> None:
    async with held_backlog(stack, 20) as one:
        other = await stack.writer(INGEST_BATCH_SIZE=1)
        await flush(stack)
        await remembers(stack, lost=20)
        await eventually(lambda: one.metric("ingest_lost_entries") == other.metric("ingest_lost_entries") == 20)
        assert GONE.findall(one.log + other.log) == ["20"]
        one.kill()
        other.kill()


@pytest.mark.long
async def test_what_came_while_the_database_was_away_is_known_too(stack: Stack) -> None:
    writer = await stack.writer(INGEST_BATCH_SIZE=1)
    await fill(stack, 3)
    await stack.has_rows("ts_measure", 3)
    await remembers(stack, in_stream=0, stored=3)
    await stack.refuse_connections()
    await writer.says("database is unreachable")
    await fill(stack, 40, "lost")
    await eventually(lambda: _was_seen(writer, stack, 40))
    await flush(stack)
    await eventually(lambda: writer.metric("ingest_lost_entries") == 40)
    await stack.allow_connections()
    await writer.says("40 entries that were not settled are gone; last seen: ")
    await remembers(stack, lost=40)


async def _was_seen(writer: Process, stack: Stack, backlog: int) -> bool:
    """Whether the writer has seen the last entry: each snapshot without the database raises the revision."""
    before = int(await stack.redis.hget(ledger_of(0), "revision") or 0)
    await eventually(lambda: _is_counted(stack, before + 2))
    return writer.metric("ingest_queue_size") == backlog


async def _is_counted(stack: Stack, revision: int) -> bool:
    return int(await stack.redis.hget(ledger_of(0), "revision") or 0) >= revision


async def test_an_empty_stream_that_goes_is_no_loss(stack: Stack) -> None:
    writer = await stack.writer()
    await fill(stack, 10)
    await stack.has_rows("ts_measure", 10)
    await remembers(stack, stored=10, in_stream=0)
    await flush(stack)
    await writer.says("0 entries that were not settled are gone")
    await fill(stack, 2, "new")
    await stack.has_rows("ts_measure", 12)
    await remembers(stack, added=2, stored=2, lost=0)
    await stack.is_well()
    assert "ERROR" not in writer.log


@pytest.mark.long
async def test_what_another_client_removes_is_noticed_once_and_can_be_written_off(stack: Stack) -> None:
    writer = await stack.writer()
    transaction = stack.redis.pipeline(transaction=True)
    for second in range(10):
        topic, payload = telem(second=second)
        transaction.xadd(key_of(0), {"topic": topic, "payload": payload, "received_at": 1_700_000_000_000})
    transaction.xtrim(key_of(0), maxlen=7, approximate=False)
    transaction.eval(
        "redis.call('XDEL', KEYS[1], redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1])", 1, key_of(0)
    )
    await transaction.execute()
    await writer.says("4 entries were removed by another client (XDEL, XTRIM) and not stored; 4 are missing now")
    await eventually(lambda: writer.metric("ingest_lost_entries") == 4)
    await stack.has_rows("ts_measure", 6)
    for added in (11, 12, 13):  # three more rows, none of them news
        await stack.append(*telem("later", added))
        await remembers(stack, added=added)
    other = await stack.writer()
    await eventually(lambda: other.metric("ingest_lost_entries") == 4)
    assert (writer.log + other.log).count("removed by another client") == 1
    checked = await stack.status()
    assert checked.returncode == 1
    assert "4 entries were removed by another client" in checked.stdout

    accepted = json.loads((await stack.status("--accept-loss", "--json")).stdout)
    assert accepted == {"accepted": {"ingest:{0}": 4}}
    checked = await stack.status()
    assert (checked.returncode, " stored + 0 dead-lettered + 4 accepted as lost + 0 here" in checked.stdout) == (
        0,
        True,
    )
    assert await stack.redis.hget(ledger_of(0), "removed") == b"4"
    await eventually(lambda: writer.metric("ingest_lost_entries") == other.metric("ingest_lost_entries") == 0)


async def test_status_without_a_database_goes_by_redis_alone(stack: Stack) -> None:
    await fill(stack, 2)
    await stack.redis.xtrim(key_of(0), maxlen=1, approximate=False)
    await stack.refuse_connections()
    checked = await stack.status("--json")
    report = json.loads(checked.stdout)
    shard = report["shards"][0]
    assert report["dependencies"]["database"]["state"] != "up"
    assert (checked.returncode, shard["missing"], shard["lost"]) == (1, 1, None)
    refused = await stack.status("--accept-loss")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "nothing was accepted as lost" in refused.stderr
    await stack.allow_connections()
    await stack.execute("DROP TABLE stream_ledger")
    for options in ((), ("--accept-loss",)):
        checked = await stack.status(*options)
        assert checked.returncode == 2
        assert "not migrated; run `traksense-ingest migrate`" in checked.stdout + checked.stderr


async def test_duplicates_are_counted_where_they_were_settled(stack: Stack) -> None:
    for _ in range(2):
        await stack.append(*telem(points=3))
    await stack.append("traksense/t/s/dev/ack", b'{"schema":"v1","cmd_id":"c","ok":true}')
    await stack.append("traksense/t/s/dev/ack", b'{"schema":"v1","cmd_id":"c","ok":true}')
    await stack.writer(INGEST_BATCH_MS=100)
    await stack.has_rows("ts_measure", 3)
    report = json.loads((await stack.status("--json")).stdout)
    assert report["shards"][0]["duplicates"] == 4
    await remembers(stack, duplicates=4)


async def test_duplicates_of_a_batch_that_was_settled_already_do_not_count_again(stack: Stack) -> None:
    async with stream.connect(stack.redis_server.url) as client:
        group = Consumer(client, 0, "test")
        await group.read(1, block=False)
        await fill(stack, 2)
        classes = {SettlementKey("telem", "stored"): await group.read(2, block=False)}
        assert [await group.settle(classes, 5) for _ in range(2)] == [
            {SettlementKey("telem", "stored"): n} for n in (2, 0)
        ]
    shard = await read_snapshot(stack.clients, 0)
    assert (shard.duplicates, shard.stored, shard.missing) == (5, 2, 0)


async def test_a_backlog_that_only_status_has_seen_is_known_too(stack: Stack) -> None:
    """No writer has ever run."""
    await fill(stack, 12)
    checked = await stack.status()
    assert (checked.returncode, "12" in checked.stdout) == (0, True)
    await flush(stack)
    checked = await stack.status()
    assert (checked.returncode, "12 entries are lost" in checked.stdout) == (1, True), checked.stdout


async def test_what_is_pending_at_a_writer_is_stored_though_another_client_trims_it(stack: Stack) -> None:
    """It was acknowledged by who stored it: nothing is missing in the end, though it was in between."""

    async def have_both_lanes_one() -> bool:
        return await stack.pending() == 2

    async with held_backlog(stack, 20) as writer:
        await eventually(have_both_lanes_one)
        await stack.redis.xtrim(key_of(0), maxlen=19, approximate=False)
        await writer.says("1 entries were removed by another client")
    await stack.has_rows("ts_measure", 20)
    await remembers(stack, stored=20, added=20, in_stream=0, lost=0)
    checked = await stack.status()
    assert checked.returncode == 0, checked.stdout
    assert not GONE.search(writer.log)


async def test_a_renewal_does_not_lose_what_another_client_trimmed(stack: Stack) -> None:
    await fill(stack, 3)
    async with stream.connect(stack.redis_server.url) as client:
        group = Consumer(client, 0, "lane")
        await group.read(3, block=False)  # makes the group
        entries = await group.read(3, block=False)
        await stack.redis.xtrim(key_of(0), maxlen=1, approximate=False)
        await group.renew_lease(entries)
        assert await group.settle({SettlementKey("telem", "stored"): entries}) == {SettlementKey("telem", "stored"): 3}


@pytest.mark.parametrize("field", few_of(["stored", "duplicates"], 1))
async def test_a_ledger_with_a_field_that_is_no_number(stack: Stack, field: str) -> None:
    """It is said, nothing is removed uncounted, and it is over when the field is right."""
    await stack.redis.hset(ledger_of(0), mapping={"note": "by hand", field: "1.5"})
    await fill(stack, 5)
    writer = stack.start("writer")
    await writer.says("ingest:{0}:ledger")
    checked = await stack.status()
    assert (checked.returncode, checked.stderr) == (1, "")
    assert f"field {field} is b'1.5', no number" in checked.stdout
    assert await stack.backlog() == 5
    await stack.redis.hset(ledger_of(0), field, "0")
    await stack.has_rows("ts_measure", 5)
    await stack.is_well()
    assert "Traceback" not in writer.log


async def test_a_dead_letter_whose_id_another_message_has_had_is_kept(stack: Stack) -> None:
    """A stream that was deleted may give an id again; delivering it again after that changes nothing."""

    async def is_settled() -> bool:
        return not await stack.backlog()

    await stack.writer()
    for letter in (b"one", b"another", b"another", b"one"):
        await stack.redis.xadd(key_of(0), {"topic": telem()[0], "payload": letter}, id="5-1")
        await eventually(is_settled)
        await stack.redis.delete(key_of(0))
    letters = await stack.fetch("SELECT entry_id, payload FROM ingest_errors ORDER BY id")
    assert [row["payload"] for row in letters] == ["one", "another"]
    assert letters[0]["entry_id"] == "5-1"
    assert letters[1]["entry_id"].startswith("5-1#")
