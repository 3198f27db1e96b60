"""What is stored already is stored once, by each of the ways that a batch may take into the table."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest

from tests.support.stack import START, Stack
from tests.support.waiting import eventually
from traksense_ingest.shared import database
from traksense_ingest.shared.database import transaction
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, Sighting
from traksense_ingest.writer.store import copy_measures as ways
from traksense_ingest.writer.store import duplicates
from traksense_ingest.writer.store.devices import DeviceRegistry
from traksense_ingest.writer.store.duplicates import (
    CAREFUL_BATCHES,
    find_new_points,
    find_new_points_by_first,
    keys_of,
)
from traksense_ingest.writer.store.tables import Tables

Way = Callable[[Any, Sequence[Measures]], Awaitable[int]]


class Everything:
    """Contains it."""

    def __contains__(self, _key: object) -> bool:
        return True


CAREFUL: dict[str, Way] = {
    "asked for all": partial(ways.copy_new, find=find_new_points),
    "asked for first points": partial(ways.copy_new, find=find_new_points_by_first),
    "inserted as what may be there": partial(ways.copy_others, repetitions=Everything()),
    "staged": ways.copy_staged,
}


@pytest.fixture
async def pool(stack: Stack) -> AsyncIterator[Any]:
    pool = await database.open_pool(stack.database_url, 1, 4)
    yield pool
    pool.terminate()


def message(number: int, points: Iterable[int], device: str = "d", value: float = 0.0) -> Measures:
    """Number is its moment: 10 of them are in each of some days."""
    ts, meta = START + timedelta(days=number // 10, seconds=number), f'{{"{value}": 1}}'
    return Measures("t", device, ts, meta, tuple((f"p{point}", value, None, None, None) for point in points))


def decoded(message: Measures) -> Decoded:
    entry = Entry("ingest:{0}", "1-0", b"traksense/t/s/d/telem", b"{}", START, 1)
    return Decoded(entry, "telem", (Sighting("t", message.device_id, "s", None, START),), START, (message,))


async def stored(stack: Stack) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    rows = await stack.fetch("SELECT device_id, point_id, ts, v_num, meta FROM ts_measure")
    return {tuple(row.values())[:3]: tuple(row.values())[3:] for row in rows}


def first_of_each(messages: Iterable[Measures]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """What the table should have: computed for the test, a row at a time."""
    rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in (row for message in messages for row in message):
        rows.setdefault((row.device_id, row.point_id, row.ts), (row.v_num, row.meta))
    return rows


@pytest.mark.parametrize("seed", range(5))
async def test_only_what_is_new_and_first_is_stored(stack: Stack, pool: Any, seed: int) -> None:
    """Batches that overlap with the table and within themselves, wholly, in part and not at all."""
    chance, store, said = random.Random(seed), Tables(pool, DeviceRegistry()), list[Measures]()
    for number in range(40):
        moments, points = chance.choice([5, 30, 300]), chance.choice([1, 3, 6])
        batch = [
            message(
                chance.randrange(moments),
                chance.sample(range(6), chance.randint(1, points)),
                chance.choice("ab"),
                number,
            )
            for _ in range(chance.choice([1, 5, 20]))
        ]
        before = len(first_of_each(said))
        said += batch
        done = await store.write([decoded(each) for each in batch])
        assert done.points == len(first_of_each(said)) - before
        assert done.duplicates["telem"] == sum(map(len, batch)) - done.points
    assert await stored(stack) == first_of_each(said)


@pytest.mark.parametrize("way", CAREFUL.values(), ids=CAREFUL)
async def test_nothing_is_left_of_what_is_all_there(stack: Stack, pool: Any, way: Way) -> None:
    batch = [message(number, range(3)) for number in range(30)]
    for new in (90, 0):
        async with transaction(pool) as connection:
            assert await way(connection, batch) == new
    assert await stack.count("ts_measure") == 90


@pytest.fixture
def into(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The table of each COPY that is tried."""
    tables: list[str] = []

    async def copy_into(connection: Any, table: str, messages: Any, original: Any = ways._copy_into) -> int:
        tables.append(table)
        return int(await original(connection, table, messages))

    monkeypatch.setattr(ways, "_copy_into", copy_into)
    return tables


async def test_a_batch_is_refused_once_and_the_next_ones_ask(stack: Stack, pool: Any, into: list[str]) -> None:
    """Of what another writer has stored."""
    other, store = (Tables(pool, DeviceRegistry()) for _ in range(2))
    batches = ([decoded(message(number, range(3), device)) for device in "ab"] for number in range(100))
    known = [decoded(message(0, range(3)))]
    assert (await other.write(known)).points == 3
    into.clear()
    assert (await store.write([*known, *next(batches)])).points == 6
    assert into == ["ts_measure", "ts_measure"], "refused, and then what is new"
    for _ in range(3):
        into.clear()
        assert (await store.write([*known, *next(batches)])).duplicates["telem"] == 3
        assert into == ["ts_measure"], "it asked first"
    into.clear()
    assert (await store.write(known)).points == 0
    assert into == [], "nothing to store"
    for _ in range(CAREFUL_BATCHES):
        await store.write(next(batches))
    into.clear()
    await other.write(once := next(batches))
    await store.write([*once, *next(batches)])
    assert into == ["ts_measure"] * 3, "it has stopped to ask"


DEVICES = [f"device{number}" for number in range(30)]


async def test_what_comes_again_soon_is_inserted_and_the_others_copied(
    stack: Stack, pool: Any, into: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    async def ask(connection: Any, messages: Any, points_of: Any, original: Any = duplicates._ask) -> Any:
        asked.append(len(messages))
        return await original(connection, messages, points_of)

    monkeypatch.setattr(duplicates, "_ask", ask)
    store = Tables(pool, DeviceRegistry())
    batches = [[decoded(message(number, range(3), device)) for device in DEVICES] for number in range(3)]
    for batch in batches:
        assert (await store.write(batch)).points == 90
    assert asked == [], "nothing came again"
    into.clear()
    for number, again in enumerate(batches):
        new = [decoded(message(10 + number, range(3), device)) for device in DEVICES]
        done = await store.write([again[0], *new, again[2]])
        assert (done.points, done.duplicates["telem"]) == (90, 6)
    assert into == ["ts_measure"] * 3, "none is refused"
    assert asked == [2] * 3, "whether all of them are there"
    assert (await store.write(new)).points == 0
    assert await stack.count("ts_measure") == 540


async def test_what_comes_twice_in_a_batch_is_no_reason_to_look_all_up(
    stack: Stack, pool: Any, into: list[str]
) -> None:
    store = Tables(pool, DeviceRegistry())
    for number in range(3):
        new = [decoded(message(number, range(3), device)) for device in DEVICES]
        done = await store.write([new[0], *new])
        assert (done.points, done.duplicates["telem"]) == (90, 3)
    assert into == ["ts_measure"] * 3
    assert not store._duplicates.expects_duplicates()
    assert await stack.count("ts_measure") == 270


@pytest.mark.parametrize("is_stored", [True, False])
async def test_what_another_lane_is_storing_is_waited_for(
    stack: Stack, pool: Any, into: list[str], is_stored: bool
) -> None:
    """And stored here if that lane's transaction fails."""
    store = Tables(pool, DeviceRegistry())
    contested, new = message(1, range(3), value=1.0), [message(2, range(3), device) for device in DEVICES]
    store._duplicates.observe(keys_of([contested]))  # as that lane has begun with
    other = await asyncpg.connect(stack.database_url)
    begun = other.transaction()
    await begun.start()
    await ways.copy_all(other, [contested])
    into.clear()
    storing = asyncio.create_task(store.write([decoded(each) for each in (message(1, range(4)), *new)]))
    await eventually(stack.waits_for_a_lock)
    await (begun.commit() if is_stored else begun.rollback())
    assert (await storing).points == (91 if is_stored else 94)
    await other.close()
    assert into == ["ts_measure"], "no COPY is refused"
    first = [contested] if is_stored else []
    assert await stored(stack) == first_of_each([*first, message(1, range(4)), *new])


async def test_two_writers_may_store_the_same_at_once(stack: Stack, pool: Any) -> None:
    """What the other has not committed can't be seen: it is waited for, refused, and goes through the staging table."""
    store = Tables(pool, DeviceRegistry())
    known, contested, new = message(0, range(3)), message(1, range(3), value=1.0), message(2, range(3))
    await Tables(pool, DeviceRegistry()).write([decoded(known)])
    await store.write([decoded(known)])  # from now on it asks
    other = await asyncpg.connect(stack.database_url)
    begun = other.transaction()
    await begun.start()
    await ways.copy_all(other, [contested])
    storing = asyncio.create_task(store.write([decoded(each) for each in (known, message(1, range(4)), new)]))
    await eventually(stack.waits_for_a_lock)
    await begun.commit()
    done = await storing
    await other.close()
    assert (done.points, done.duplicates["telem"]) == (4, 6)
    assert await stored(stack) == first_of_each([known, contested, message(1, range(4)), new])


async def test_a_message_that_shares_its_moment_and_other_points_is_stored(stack: Stack, pool: Any) -> None:
    """Its first point tells nothing of the others then: the COPY is refused, and the rest of it is stored."""
    store = Tables(pool, DeviceRegistry())
    for batch, points in (([(0, 1)], 2), ([(0, 1)], 0), ([(2, 1)], 1), ([(0, 1, 3), (4, 3), (4, 5)], 3)):
        assert (await store.write([decoded(message(0, each)) for each in batch])).points == points
    assert await stack.count("ts_measure") == 6
