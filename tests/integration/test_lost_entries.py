"""Entries that go without a writer, by XTRIM, XDEL, DEL, FLUSHALL or an older Redis: noticed, with the number."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shared import database, stream
from shared.health import Component
from shared.ledger_rows import LedgerRow, LedgerRows
from shared.metrics import Metrics
from shared.shard import read_shard
from shared.stream import key_of, ledger_of
from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from writer.group import Group
from writer.ledger import LedgerWatch

GONE = re.compile(r"(\d+) entries that were not settled are gone")


async def fill(stack: Stack, count: int, device: str = "dev", shard: int = 0) -> None:
    for second in range(count):
        await stack.append(*telem(device, second), shard=shard)


async def row_of(stack: Stack) -> Any:
    rows = await stack.fetch("SELECT * FROM stream_ledger WHERE stream = $1", key_of(0))
    return rows[0] if rows else None


async def remembers(stack: Stack, **figures: int) -> None:
    async def does() -> bool:
        row = await row_of(stack)
        return row is not None and not row["is_closed"] and {name: row[name] for name in figures} == figures

    await eventually(does, lambda: f"a row with {figures}")


@asynccontextmanager
async def held_backlog(stack: Stack, count: int, **variables: object) -> AsyncIterator[Process]:
    """A writer that knows of so many entries, can't store one, and has one or two of them in hand."""
    async with stack.locked("ts_measure"):
        writer = await stack.writer(INGEST_BATCH_SIZE=1, **variables)
        await fill(stack, count)
        await remembers(stack, in_stream=count)
        yield writer


def append_only(stack: Stack) -> Path:
    return stack.redis_server.directory / "appendonlydir"


async def start_redis(stack: Stack) -> None:
    stack.redis_server.start()
    await stack.redis.connection_pool.disconnect()


async def flush(stack: Stack) -> None:
    await stack.redis.flushall()


async def delete(stack: Stack) -> None:
    await stack.redis.delete(key_of(0))


async def restart(stack: Stack) -> None:
    stack.redis_server.kill()
    shutil.rmtree(append_only(stack))
    await start_redis(stack)


WAYS = {"FLUSHALL": flush, "DEL": delete, "a restart without the append-only file": restart}


@pytest.mark.parametrize("way", WAYS)
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
    assert (report["agrees"], shard["missing"], shard["lost"], shard["in_stream"]) == (False, 0, 20, 0)
    assert "gone" not in other.log

    accepted = await stack.status("--accept-loss")
    assert (accepted.returncode, accepted.stdout) == (0, "ingest:{0}: 20 entries written off\n")
    assert (await stack.status()).returncode == 0
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


async def test_what_came_while_the_database_was_away_is_known_too(stack: Stack) -> None:
    writer = await stack.writer(INGEST_BATCH_SIZE=1)
    await fill(stack, 3)
    await stack.has_rows("ts_measure", 3)
    await remembers(stack, in_stream=0, stored=3)
    await stack.refuse_connections()
    await writer.says("database is away")
    await fill(stack, 40, "lost")
    await eventually(lambda: _was_seen(writer, stack, 40))
    await flush(stack)
    await eventually(lambda: writer.metric("ingest_lost_entries") == 40)
    await stack.allow_connections()
    await writer.says("40 entries that were not settled are gone; last seen: ")
    await remembers(stack, lost=40)


async def _was_seen(writer: Process, stack: Stack, backlog: int) -> bool:
    """Whether the writer's watch has looked after the last entry came: each look without the database is counted."""
    before = int(await stack.redis.hget(ledger_of(0), "looks") or 0)
    await eventually(lambda: _has_looked(stack, before + 2))
    return writer.metric("ingest_queue_size") == backlog


async def _has_looked(stack: Stack, looks: int) -> bool:
    return int(await stack.redis.hget(ledger_of(0), "looks") or 0) >= looks


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
    assert (await stack.status()).returncode == 0
    assert "ERROR" not in writer.log


async def test_what_other_hands_remove_is_noticed_once_and_can_be_written_off(stack: Stack) -> None:
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
    await writer.says("4 entries were removed by other hands (XDEL, XTRIM) and not stored; 4 are missing now")
    await eventually(lambda: writer.metric("ingest_lost_entries") == 4)
    await stack.has_rows("ts_measure", 6)
    for added in (11, 12, 13):  # three more rows, none of them news
        await stack.append(*telem("later", added))
        await remembers(stack, added=added)
    other = await stack.writer()
    await eventually(lambda: other.metric("ingest_lost_entries") == 4)
    assert (writer.log + other.log).count("removed by other hands") == 1
    checked = await stack.status()
    assert checked.returncode == 1
    assert "4 entries were removed by other hands" in checked.stdout

    accepted = json.loads((await stack.status("--accept-loss", "--json")).stdout)
    assert accepted == {"accepted": {"ingest:{0}": 4}}
    checked = await stack.status()
    assert (checked.returncode, " stored + 0 dead-lettered + 4 written off + 0 here" in checked.stdout) == (
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
    assert report["parts"]["database"]["state"] != "up"
    assert (checked.returncode, shard["missing"], shard["lost"]) == (1, 1, None)
    refused = await stack.status("--accept-loss")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "nothing was written off" in refused.stderr
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
        group = Group(client, 0, "test")
        await group.read(1, block=False)
        await fill(stack, 2)
        classes = {("telem", "stored"): await group.read(2, block=False)}
        assert [await group.settle(classes, 5) for _ in range(2)] == [{("telem", "stored"): n} for n in (2, 0)]
    shard = await read_shard(stack.redis, 0)
    assert (shard.duplicates, shard.stored, shard.missing) == (5, 2, 0)


class Watch:
    """A writer's watch in this process, one look at a time, and what a writer does to the stream."""

    def __init__(self, client: Any, pool: Any) -> None:
        metrics = Metrics(("redis", "database"))
        self.rows = LedgerRows(pool)
        redis, database_ = (Component(name, "", metrics) for name in ("redis", "database"))
        self.ledgers = LedgerWatch(client, self.rows, redis, database_)
        self.group = Group(client, 0, "lane")

    async def look(self) -> LedgerRow:
        await self.ledgers.look([0])
        return await self.row()

    async def row(self) -> LedgerRow:
        return (await self.rows.read())[key_of(0)]

    async def settle(self, count: int) -> None:
        entries = await self.group.read(count, block=False) or await self.group.read(count, block=False)
        assert len(entries) == count
        await self.group.settle({("telem", "stored"): entries})


@pytest.fixture
async def watches(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[], Watch]]:
    monkeypatch.setattr("writer.ledger.YOUNG_S", -1)  # every look that sees something new writes it down
    pool = await database.open_pool(stack.database_url, 1, 2)
    async with stream.connect(stack.redis_server.url) as client:
        yield lambda: Watch(client, pool)
    pool.terminate()


async def test_an_older_state_of_redis_brings_back_what_was_settled_and_loses_what_came_after(
    stack: Stack, watches: Callable[[], Watch], tmp_path: Path
) -> None:
    watch = watches()
    await fill(stack, 10)
    await watch.look()
    shutil.copytree(append_only(stack), tmp_path / "older")
    await watch.settle(4)
    await fill(stack, 5, "later")
    row = await watch.look()
    assert (row.added, row.stored, row.in_stream) == (15, 4, 11)
    stack.redis_server.kill()
    shutil.rmtree(append_only(stack))
    shutil.copytree(tmp_path / "older", append_only(stack))
    await start_redis(stack)
    await fill(stack, 50, "after")  # beyond what it was
    row = await watch.look()
    assert (row.lost, row.added, row.in_stream, row.missing) == (5, 60, 60, 0)
    assert (await watch.look()).lost == 5


async def test_a_redis_without_memory_is_looked_at_all_the_same(stack: Stack, watches: Callable[[], Watch]) -> None:
    watch = watches()
    await fill(stack, 3)
    await watch.look()
    await fill(stack, 4)
    await stack.redis.config_set("maxmemory", 1)
    async with asyncio.timeout(10):
        assert (await watch.look()).in_stream == 7
    await flush(stack)
    assert (await watch.look()).lost == 7


async def test_a_ledger_that_is_deleted_alone_is_begun_anew(stack: Stack, watches: Callable[[], Watch]) -> None:
    watch = watches()
    await fill(stack, 10)
    await watch.settle(4)
    await watch.look()
    await stack.redis.delete(ledger_of(0))
    checked = await stack.status()
    assert checked.returncode == 0, checked.stdout
    await watch.settle(1)
    row = await watch.look()
    assert (row.lost, row.stored, row.removed, row.in_stream, row.missing) == (0, 1, 4, 5, 0)


async def test_a_stream_that_goes_twice_counts_twice(stack: Stack, watches: Callable[[], Watch]) -> None:
    watch = watches()
    for lost in (3, 6):
        await fill(stack, 3)
        await watch.look()
        await flush(stack)
        assert (await watch.look()).lost == lost


async def test_what_was_missing_before_stays_in_the_number(stack: Stack, watches: Callable[[], Watch]) -> None:
    watch = watches()
    await fill(stack, 10)
    await stack.redis.xtrim(key_of(0), maxlen=7, approximate=False)
    await watch.look()
    await flush(stack)
    row = await watch.look()
    assert (row.lost, row.missing) == (10, 0)


async def test_a_writer_that_wakes_up_with_an_old_look_changes_nothing(
    stack: Stack, watches: Callable[[], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(stack, 10)
    frozen, other = watches(), watches()
    asleep, wake = asyncio.Event(), asyncio.Event()
    replace = frozen.rows.replace

    async def sleeping(*arguments: Any, **named: Any) -> LedgerRow | None:
        asleep.set()
        await wake.wait()
        return await replace(*arguments, **named)

    monkeypatch.setattr(frozen.rows, "replace", sleeping)
    looking = asyncio.create_task(frozen.ledgers.look([0]))
    await asleep.wait()
    await other.settle(4)
    await other.look()
    await flush(stack)
    before = await other.look()
    assert before.lost == 6
    wake.set()
    await looking
    monkeypatch.undo()
    assert without_age(await frozen.look()) == without_age(before)
    assert (frozen.ledgers.lost, other.ledgers.lost) == (6, 6)


async def test_two_writers_that_notice_it_at_the_same_moment_count_it_once(
    stack: Stack,
    watches: Callable[[], Watch],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fill(stack, 10)
    both = watches(), watches()
    for watch in both:
        await watch.look()
    await flush(stack)
    barrier = asyncio.Barrier(2)
    with monkeypatch.context() as patch:
        for watch in both:
            patch.setattr(watch.rows, "replace", _together(barrier, watch.rows.replace))
        await asyncio.gather(*(watch.ledgers.look([0]) for watch in both))
    assert [(await watch.look()).lost for watch in both] == [10, 10]
    assert GONE.findall(caplog.text) == ["10"]


def _together(barrier: asyncio.Barrier, replace: Callable[..., Any]) -> Callable[..., Any]:
    async def waiting(*arguments: Any, **named: Any) -> Any:
        if named.get("is_closed"):
            await barrier.wait()
        return await replace(*arguments, **named)

    return waiting


def without_age(row: LedgerRow) -> tuple[object, ...]:
    return (*row.figures, row.looks, row.lost, row.is_closed)


async def test_a_writer_that_dies_before_the_ledger_is_begun_anew(
    stack: Stack, watches: Callable[[], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(stack, 10)
    dying, other = watches(), watches()
    await dying.look()
    await delete(stack)
    with monkeypatch.context() as patch:
        patch.setattr(dying.ledgers, "_begin_anew", _die)
        with pytest.raises(asyncio.CancelledError):
            await dying.look()
    assert (await dying.row()).is_closed
    await fill(stack, 2)
    row = await other.look()
    assert (row.lost, row.is_closed, row.in_stream, row.missing) == (10, False, 2, 0)


async def _die(_row: LedgerRow) -> None:
    raise asyncio.CancelledError


async def test_looks_at_a_stream_in_use_find_nothing(stack: Stack, watches: Callable[[], Watch]) -> None:
    """Three watches, while entries come and go as fast as they can."""
    one, *_ = watches_ = [watches() for _ in range(3)]
    await one.group.read(1, block=False)

    async def use() -> None:
        for number in range(200):
            await fill(stack, 3, f"dev{number}")
            await one.settle(3)

    async def look(watch: Watch) -> None:
        while not using.done():
            await watch.ledgers.look([0])
            assert watch.ledgers.lost == 0

    using = asyncio.create_task(use())
    await asyncio.gather(using, *map(look, watches_))
    row = await one.look()
    assert (row.added, row.stored, row.lost, row.missing) == (600, 600, 0, 0)
    assert row.looks > 10


async def test_a_backlog_that_only_status_has_seen_is_known_too(stack: Stack) -> None:
    """No writer has ever run."""
    await fill(stack, 12)
    checked = await stack.status()
    assert (checked.returncode, "12" in checked.stdout) == (0, True)
    await flush(stack)
    checked = await stack.status()
    assert (checked.returncode, "12 entries are lost" in checked.stdout) == (1, True), checked.stdout


async def test_what_a_writer_has_in_hand_is_stored_though_other_hands_trim_it(stack: Stack) -> None:
    """It was acknowledged by who stored it: nothing is missing in the end, though it was in between."""

    async def have_both_lanes_one() -> bool:
        return await stack.pending() == 2

    async with held_backlog(stack, 20) as writer:
        await eventually(have_both_lanes_one)
        await stack.redis.xtrim(key_of(0), maxlen=19, approximate=False)
        await writer.says("1 entries were removed by other hands")
    await stack.has_rows("ts_measure", 20)
    await remembers(stack, stored=20, added=20, in_stream=0, lost=0)
    checked = await stack.status()
    assert checked.returncode == 0, checked.stdout
    assert not GONE.search(writer.log)


async def test_a_renewal_does_not_lose_what_other_hands_trimmed(stack: Stack) -> None:
    await fill(stack, 3)
    async with stream.connect(stack.redis_server.url) as client:
        group = Group(client, 0, "lane")
        await group.read(3, block=False)  # makes the group
        entries = await group.read(3, block=False)
        await stack.redis.xtrim(key_of(0), maxlen=1, approximate=False)
        await group.renew(entries)
        assert await group.settle({("telem", "stored"): entries}) == {("telem", "stored"): 3}


@pytest.mark.parametrize("field", ["stored", "duplicates"])
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
    assert (await stack.status()).returncode == 0
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
