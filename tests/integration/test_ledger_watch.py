"""The ledger's watch, one check at a time, at a real Redis and database: what it copies, and what it counts as lost."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.ledger_watch import Watch
from tests.support.ledgers import GONE, append_only, delete, fill, flush, start_redis
from tests.support.stack import Stack
from traksense_ingest.shared import database
from traksense_ingest.shared.streams import client as stream
from traksense_ingest.shared.streams.keys import key_of, ledger_of
from traksense_ingest.shared.streams.ledger_rows import LedgerRow


@pytest.fixture
async def watches(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[], Watch]]:
    monkeypatch.setattr(
        "traksense_ingest.writer.watch.ledger_step.YOUNG_S", -1
    )  # every check that sees something new copies it
    pool = await database.open_pool(stack.database_url, 1, 2)
    async with stream.connect(stack.redis_server.url) as client:
        yield lambda: Watch(client, pool)
    pool.terminate()


async def test_an_older_state_of_redis_brings_back_what_was_settled_and_loses_what_came_after(
    stack: Stack, watches: Callable[[], Watch], tmp_path: Path
) -> None:
    watch = watches()
    await fill(stack, 10)
    await watch.check()
    shutil.copytree(append_only(stack), tmp_path / "older")
    await watch.settle(4)
    await fill(stack, 5, "later")
    row = await watch.check()
    assert (row.added, row.stored, row.in_stream) == (15, 4, 11)
    stack.redis_server.kill()
    shutil.rmtree(append_only(stack))
    shutil.copytree(tmp_path / "older", append_only(stack))
    await start_redis(stack)
    await fill(stack, 50, "after")  # beyond what it was
    row = await watch.check()
    assert (row.lost, row.added, row.in_stream, row.missing) == (5, 60, 60, 0)
    assert (await watch.check()).lost == 5


async def test_a_redis_at_maxmemory_is_checked_all_the_same(stack: Stack, watches: Callable[[], Watch]) -> None:
    watch = watches()
    await fill(stack, 3)
    await watch.check()
    await fill(stack, 4)
    await stack.redis.config_set("maxmemory", 1)
    async with asyncio.timeout(10):
        assert (await watch.check()).in_stream == 7
    await flush(stack)
    assert (await watch.check()).lost == 7


async def test_a_ledger_that_is_deleted_alone_is_reset(stack: Stack, watches: Callable[[], Watch]) -> None:
    watch = watches()
    await fill(stack, 10)
    await watch.settle(4)
    await watch.check()
    await stack.redis.delete(ledger_of(0))
    checked = await stack.status()
    assert checked.returncode == 0, checked.stdout
    await watch.settle(1)
    row = await watch.check()
    assert (row.lost, row.stored, row.removed, row.in_stream, row.missing) == (0, 1, 4, 5, 0)


async def test_a_stream_that_goes_twice_counts_twice(stack: Stack, watches: Callable[[], Watch]) -> None:
    watch = watches()
    for lost in (3, 6):
        await fill(stack, 3)
        await watch.check()
        await flush(stack)
        assert (await watch.check()).lost == lost


async def test_what_was_missing_before_stays_in_the_number(stack: Stack, watches: Callable[[], Watch]) -> None:
    watch = watches()
    await fill(stack, 10)
    await stack.redis.xtrim(key_of(0), maxlen=7, approximate=False)
    await watch.check()
    await flush(stack)
    row = await watch.check()
    assert (row.lost, row.missing) == (10, 0)


async def test_a_writer_that_continues_with_an_old_snapshot_changes_nothing(
    stack: Stack, watches: Callable[[], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(stack, 10)
    stuck, other = watches(), watches()
    asleep, wake = asyncio.Event(), asyncio.Event()
    replace = stuck.rows.replace

    async def sleeping(*arguments: Any, **named: Any) -> LedgerRow | None:
        asleep.set()
        await wake.wait()
        return await replace(*arguments, **named)

    monkeypatch.setattr(stuck.rows, "replace", sleeping)
    checking = asyncio.create_task(stuck.ledgers.check())
    await asleep.wait()
    await other.settle(4)
    await other.check()
    await flush(stack)
    before = await other.check()
    assert before.lost == 6
    wake.set()
    await checking
    monkeypatch.undo()
    assert without_age(await stuck.check()) == without_age(before)
    assert (stuck.ledgers.lost, other.ledgers.lost) == (6, 6)


async def test_two_writers_that_notice_it_at_the_same_moment_count_it_once(
    stack: Stack,
    watches: Callable[[], Watch],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fill(stack, 10)
    both = watches(), watches()
    for watch in both:
        await watch.check()
    await flush(stack)
    barrier = asyncio.Barrier(2)
    with monkeypatch.context() as patch:
        for watch in both:
            patch.setattr(watch.rows, "replace", _together(barrier, watch.rows.replace))
        await asyncio.gather(*(watch.ledgers.check() for watch in both))
    assert [(await watch.check()).lost for watch in both] == [10, 10]
    assert GONE.findall(caplog.text) == ["10"]


def _together(barrier: asyncio.Barrier, replace: Callable[..., Any]) -> Callable[..., Any]:
    async def waiting(*arguments: Any, **named: Any) -> Any:
        if named.get("is_closed"):
            await barrier.wait()
        return await replace(*arguments, **named)

    return waiting


def without_age(row: LedgerRow) -> tuple[object, ...]:
    return (*row.figures, row.revision, row.lost, row.is_closed)


async def test_a_writer_that_dies_before_the_ledger_is_reset(
    stack: Stack, watches: Callable[[], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(stack, 10)
    dying, other = watches(), watches()
    await dying.check()
    await delete(stack)
    with monkeypatch.context() as patch:
        patch.setattr(dying.ledgers, "_reset", _die)
        with pytest.raises(asyncio.CancelledError):
            await dying.check()
    assert (await dying.row()).is_closed
    await fill(stack, 2)
    row = await other.check()
    assert (row.lost, row.is_closed, row.in_stream, row.missing) == (10, False, 2, 0)


async def _die(_row: LedgerRow) -> None:
    raise asyncio.CancelledError


async def test_checks_of_a_stream_in_use_find_no_loss(stack: Stack, watches: Callable[[], Watch]) -> None:
    """Three watches, while entries come and go as fast as they can."""
    one, *_ = watches_ = [watches() for _ in range(3)]
    await one.group.read(1, block=False)

    async def use() -> None:
        for number in range(200):
            await fill(stack, 3, f"dev{number}")
            await one.settle(3)

    async def check(watch: Watch) -> None:
        while not using.done():
            await watch.ledgers.check()
            assert watch.ledgers.lost == 0

    using = asyncio.create_task(use())
    await asyncio.gather(using, *map(check, watches_))
    row = await one.check()
    assert (row.added, row.stored, row.lost, row.missing) == (600, 600, 0, 0)
    assert row.revision > 10
