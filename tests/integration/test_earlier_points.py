"""The points of rows that are older than the table device_point: `migrate` adds them, once, in portions."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.support.shaped import connected
from tests.support.stack import START, Stack, telem
from tests.support.unsound import run
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.schema import catalogue
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape
from traksense_ingest.ops.schema.catalogue import EarlierPoints

pytestmark = pytest.mark.long  # of `make test-all`

DEVICES, POINTS, DAYS = 4, 5, 4
ROWS = """
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, unit)
SELECT 't' || tenant, 'd' || device, 'p' || point, $1::timestamptz + make_interval(days => day, mins => minute), 1,
    CASE WHEN point = 1 THEN CASE day WHEN 0 THEN 'old' ELSE '°C' END END
FROM generate_series(1, 2) AS tenant, generate_series(1, $2::int) AS device, generate_series(1, $3::int) AS point,
    generate_series(0, $4::int - 1) AS day, generate_series(0, 9) AS minute
WHERE device > 1 OR day > 0
"""
EXPECTED = """
SELECT DISTINCT ON (1, 2, 3) tenant_id, device_id, point_id, unit, ts AS first_seen FROM ts_measure ORDER BY 1, 2, 3, ts
"""
FOUND = "SELECT tenant_id, device_id, point_id, unit, first_seen FROM device_point ORDER BY 1, 2, 3"
ALL = 2 * DEVICES * POINTS


@pytest.fixture(params=["rows", "segments"])
async def filled(request: pytest.FixtureRequest, database: str, postgres: Server) -> str:
    """A database with the rows of a version that had no such table; with segments, all but the last day compressed."""
    if request.param == "segments":
        if not getattr(postgres, "has_timescaledb", False):
            pytest.skip("this PostgreSQL has no timescaledb")
        await shape(database, DesiredPolicies(compress_after=10_000))
    async with connected(database) as owner:
        await owner.execute(ROWS, START, DEVICES, POINTS, DAYS)
        if request.param == "segments":
            chunks = await owner.fetch("SELECT show_chunks('ts_measure')::text AS chunk ORDER BY 1")
            for chunk in chunks[:-1]:
                await owner.execute(f"SELECT compress_chunk('{chunk['chunk']}')")
    return database


async def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    async with connected(url) as owner:
        return [tuple(row) for row in await owner.fetch(query)]


@pytest.mark.parametrize("portion", [1, 7, ALL, 10_000])
async def test_all_are_found_with_their_first_reading(
    filled: str, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "POINTS", portion)
    assert await EarlierPoints(filled).run() == [f"device_point: {ALL} points of earlier rows"]
    assert await rows(filled, FOUND) == await rows(filled, EXPECTED)


async def test_it_is_done_once(filled: str) -> None:
    await EarlierPoints(filled).run()
    async with connected(filled) as owner:
        await owner.execute("DELETE FROM device_point")
    assert await EarlierPoints(filled).run() == []
    assert await rows(filled, FOUND) == []


async def test_what_a_writer_added_meanwhile_keeps_its_unit(filled: str) -> None:
    later = START + timedelta(days=100)
    async with connected(filled) as owner:
        add = "INSERT INTO device_point VALUES ($1, 'd2', 'p1', '°F', $2)"
        await owner.execute(add, "t1", later)
        await owner.execute(add, "t2", START - timedelta(days=1))
    assert await EarlierPoints(filled).run() == [f"device_point: {ALL - 2} points of earlier rows"]
    found = {(tenant, device, point): rest for tenant, device, point, *rest in await rows(filled, FOUND)}
    assert found["t1", "d2", "p1"] == ["°F", START], "but was first seen before"
    assert found["t2", "d2", "p1"] == ["°F", START - timedelta(days=1)]


async def test_an_outage_is_survived_without_a_second_beginning(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "POINTS", 7)
    add, calls = catalogue._add_portion, list[tuple[str, Any]]()

    async def failing(connection: Any, relation: str, after: Any) -> Any:
        calls.append((relation, after))
        if len(calls) % 2 == 0:
            raise asyncpg.AdminShutdownError("terminating connection due to administrator command")
        return await add(connection, relation, after)

    monkeypatch.setattr(catalogue, "_add_portion", failing)
    points, done = EarlierPoints(filled), list[str]()
    for _ in range(100):  # at most; it takes as many as there are portions
        try:
            done = await points.run()
            break
        except asyncpg.AdminShutdownError:
            continue
    assert done == [f"device_point: {ALL} points of earlier rows"]
    assert len(set(calls)) == (len(calls) + 1) // 2, "each portion was tried again, and none was done twice"
    assert await rows(filled, FOUND) == await rows(filled, EXPECTED)


async def test_several_at_once_add_each_point_once(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "POINTS", 7)
    several = [EarlierPoints(filled) for _ in range(3)]
    await asyncio.gather(*(each.run() for each in several))
    assert sum(each.new for each in several) == ALL
    assert await rows(filled, FOUND) == await rows(filled, EXPECTED)


async def test_a_chunk_that_is_dropped_meanwhile_is_no_error(timescale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(timescale) as owner:
        await owner.execute(ROWS, START, DEVICES, POINTS, DAYS)
    relations = catalogue._relations

    async def then_dropped(connection: Any) -> list[str]:
        found = await relations(connection)
        await connection.execute("SELECT drop_chunks('ts_measure', $1::timestamptz)", START + timedelta(days=2))
        return found

    monkeypatch.setattr(catalogue, "_relations", then_dropped)
    assert await EarlierPoints(timescale).run() == [f"device_point: {ALL} points of earlier rows"]
    assert await rows(timescale, FOUND) == await rows(timescale, EXPECTED)


async def test_an_upgrade_adds_what_the_version_before_stored(stack: Stack) -> None:
    """And says so once."""
    await stack.writer()
    await stack.append(*telem("dev", 0, 3))
    await stack.has_rows("ts_measure", 3)
    before = await rows(stack.database_url, FOUND)
    await stack.execute("DROP TABLE device_point CASCADE")
    await stack.execute("DELETE FROM schema_migrations WHERE version = 14")
    await stack.execute("ALTER TABLE schema_migrations DROP COLUMN has_earlier_points")
    migrated = await run("migrate", DATABASE_URL=stack.database_url)
    assert migrated.stdout == "1 migrations applied\ndevice_point: 3 points of earlier rows\n", migrated.stderr
    assert await rows(stack.database_url, FOUND) == before
    again = await run("migrate", DATABASE_URL=stack.database_url)
    assert again.stdout == "nothing to do: the database is up to date\n"
