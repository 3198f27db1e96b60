"""The table device_point: a row for each point of each device, written with its first reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.support.stack import START, Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared import database
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, Sighting
from traksense_ingest.writer.store.devices import DeviceRegistry
from traksense_ingest.writer.store.tables import Tables

pytestmark = pytest.mark.long  # of `make test-all`

POINTS = "SELECT device_id, point_id, unit, first_seen FROM device_point ORDER BY 1, 2"


@pytest.fixture
async def pool(stack: Stack) -> AsyncIterator[Any]:
    pool = await database.open_pool(stack.database_url, 1, 4)
    yield pool
    pool.terminate()


def message(
    names: str,
    unit: str | None = None,
    second: float = 0,
    device: str = "d",
    *,
    retained: bool = False,
    replayed: bool = False,
) -> Decoded:
    ts = START + timedelta(seconds=second)
    rows = Measures("t", device, ts, None, tuple((name, 1.0, None, None, unit) for name in names))
    entry = Entry("ingest:{0}", "1-0", b"t", b"{}", ts, 1, retained, replayed)
    return Decoded(entry, "telem", (Sighting("t", device, "s", None, ts),), ts, (rows,))


async def points(pool: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await pool.fetch(POINTS)]


async def test_a_writer_adds_the_points_of_what_it_stores(stack: Stack) -> None:
    await stack.writer()
    await stack.append(*telem("dev", 0, [{"name": "temp", "v": 1.5, "u": "°C"}, {"name": "door", "v": True}]))
    await stack.append(*telem("dev", 1, [{"name": "temp", "v": 2.5, "u": "°C"}, {"name": "fault", "v": None}]))
    await stack.append(*telem("other", 2, [{"name": "temp", "v": 3.5}]))
    await stack.has_rows("ts_measure", 5)
    assert [tuple(row) for row in await stack.fetch(POINTS)] == [
        ("dev", "door", None, START),
        ("dev", "fault", None, START + timedelta(seconds=1)),
        ("dev", "temp", "°C", START),
        ("other", "temp", None, START + timedelta(seconds=2)),
    ]


async def test_any_name_and_unit_is_written_as_it_is(stack: Stack, pool: Any) -> None:
    names = ["", " a ", "NULL", '"', "\\", '\\"', "{}", "a,b", "{a,b}", "'", "%s", "a\nb", "\t", "é", "°", "😀", "\x01"]
    readings = tuple((name, 1.0, None, None, name) for name in names)
    entry = Entry("ingest:{0}", "1-0", b"t", b"{}", START, 1)
    sightings = (Sighting("t", "d", "s", None, START),)
    one = Decoded(entry, "telem", sightings, START, (Measures("t", "d", START, None, readings),))
    await Tables(pool, DeviceRegistry()).write([one])
    assert await points(pool) == [("d", name, name, START) for name in sorted(names)]


async def test_a_point_is_first_seen_once_and_its_unit_follows(pool: Any) -> None:
    await Tables(pool, DeviceRegistry()).write([message("ab", "°C")])
    await Tables(pool, DeviceRegistry()).write([message("bc", "°F", 10), message("b", "K", 11)])
    later = START + timedelta(seconds=10)
    assert await points(pool) == [("d", "a", "°C", START), ("d", "b", "°F", START), ("d", "c", "°F", later)]


async def test_a_clock_that_is_ahead_makes_no_point_of_the_future(pool: Any) -> None:
    ahead = (datetime.now(UTC) - START).total_seconds() + 3600
    await Tables(pool, DeviceRegistry()).write([message("a", second=ahead)])
    ((*_, first_seen),) = await points(pool)
    assert first_seen <= await pool.fetchval("SELECT now()")


async def test_a_row_is_written_when_it_is_new_to_the_process_and_not_again(pool: Any) -> None:
    """Somebody deletes it: so this process would write it only if it wrote points with each message."""
    tables = Tables(pool, DeviceRegistry())
    await tables.write([message("ab")])
    await pool.execute("DELETE FROM device_point WHERE point_id = 'a'")
    await tables.write([message("ab", second=1)])
    assert [name for _, name, *_ in await points(pool)] == ["b"]
    await tables.write([message("ab", second=3601)])
    await tables.write([message("ab", second=3602)])
    assert [name for _, name, *_ in await points(pool)] == ["a", "b"], "an hour later it is"


@pytest.mark.parametrize("kind", ["retained", "replayed"])
async def test_what_is_of_the_past_adds_points_and_changes_none(pool: Any, kind: str) -> None:
    registry = DeviceRegistry()
    tables = Tables(pool, registry)
    await tables.write([message("a", "°C", 10)])
    past: Any = {kind: True}
    fresh = Tables(pool, DeviceRegistry())
    await fresh.write([message("ab", "old", 1, **past)])
    await fresh.write([message("c", "°C", 11), message("cd", "old", 2, **past), message("x", "old", 3, "new", **past)])
    assert [row[:3] for row in await points(pool)] == [
        ("d", "a", "°C"),
        ("d", "b", "old"),
        ("d", "c", "°C"),
        ("d", "d", "old"),
        ("new", "x", "old"),
    ]
    await fresh.write([message("ab", "°F", 20)])
    assert [row[2] for row in await points(pool)][:2] == ["°F", "°F"], "what is current still counts"


async def test_what_is_not_committed_is_written_later(pool: Any) -> None:
    tables = Tables(pool, DeviceRegistry())
    await tables.write([message("a")])
    await pool.execute("ALTER TABLE device_point ADD CONSTRAINT sane CHECK (point_id <> 'c')")
    with pytest.raises(asyncpg.CheckViolationError):
        await tables.write([message("b", second=1), message("c", second=1, device="other")])
    assert [name for _, name, *_ in await points(pool)] == ["a"]
    await pool.execute("ALTER TABLE device_point DROP CONSTRAINT sane")
    await tables.write([message("b", second=1), message("c", second=1, device="other")])
    assert [name for _, name, *_ in await points(pool)] == ["a", "b", "c"]


async def test_two_lanes_that_find_the_same_points_wait_for_each_other(pool: Any) -> None:
    """In whatever order their messages have them: no deadlock. The device itself is known, so that nobody waits for its
    row."""
    names = "".join(chr(0x4E00 + number) for number in range(1_000))
    for number in range(5):
        device = f"d{number}"
        lanes = [Tables(pool, DeviceRegistry()) for _ in range(2)]
        for second, lane in enumerate(lanes):
            await lane.write([message("a", second=second, device=device)])
        orders = names, names[::-1]
        await asyncio.gather(
            *(
                lane.write([message(order, second=second, device=device)])
                for second, (lane, order) in enumerate(zip(lanes, orders, strict=True), 2)
            )
        )
    assert len(await points(pool)) == 5 * (len(names) + 1)


async def test_a_rehearsal_writes_nothing_and_needs_the_table(pool: Any) -> None:
    tables = Tables(pool, DeviceRegistry())
    await tables.rehearse(message("a"))
    assert await points(pool) == []
    await pool.execute("ALTER TABLE device_point ADD CONSTRAINT sane CHECK (point_id <> 'a')")
    with pytest.raises(asyncpg.CheckViolationError):
        await tables.rehearse(message("a"))


async def test_messages_wait_while_the_table_is_missing(stack: Stack) -> None:
    writer = await stack.writer()
    await stack.append(*telem("before"))
    await stack.has_rows("ts_measure", 1)
    await stack.execute("ALTER TABLE device_point RENAME TO set_aside")
    await stack.append(*telem("meanwhile"))
    await eventually(lambda: writer.get("/readyz")[0] == 503, "it waits")
    await stack.execute("ALTER TABLE set_aside RENAME TO device_point")
    await stack.has_rows("ts_measure", 2)
    assert await stack.count("device_point") == 2
    assert await stack.count("ingest_errors") == 0
