"""The latest value of each point: the newest row, and one descent of the index a point to find it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.shaped import connected, login
from tests.support.stack import START, Stack, telem
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape

TENANTS, DEVICES, POINTS, DAYS, ROWS = 3, 5, 10, 6, 40  # rows: of a point and day
COMPRESSED = 3  # days

# Device 1 has sent nothing for three days, device 2 on the first day alone.
FILL = """
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, unit)
SELECT 't' || tenant, 'd' || device, 'p' || point,
    date_trunc('day', now(), 'UTC') - make_interval(days => day) + make_interval(mins => minute),
    1000 * day + minute, '°C'
FROM generate_series(1, $1::int) AS tenant, generate_series(1, $2::int) AS device, generate_series(1, $3::int) AS point,
    generate_series(1, $4::int) AS day, generate_series(1, $5::int) AS minute
WHERE CASE device WHEN 1 THEN day > 3 WHEN 2 THEN day = $4 ELSE true END;
"""
CATALOGUE = """
INSERT INTO device_point SELECT DISTINCT ON (1, 2, 3) tenant_id, device_id, point_id, unit, ts FROM ts_measure
ORDER BY 1, 2, 3, ts
"""
OLD_CHUNKS = "SELECT show_chunks('ts_measure', older_than => $1::timestamptz)::text AS chunk"
NEWEST_DAY = {"d1": 4, "d2": DAYS, "d3": 1, "d4": 1, "d5": 1}


@pytest.fixture(params=["plain", "chunks", "compressed"])
async def filled(request: pytest.FixtureRequest, database: str, postgres: Server) -> str:
    """A database with rows, analysed: a plain table, a hypertable, or one whose older half is compressed."""
    if getattr(postgres, "has_timescaledb", False) == (request.param == "plain"):
        pytest.skip("timescaledb is there" if request.param == "plain" else "this PostgreSQL has no timescaledb")
    if request.param == "compressed":
        await shape(database, DesiredPolicies(compress_after=30))
    async with connected(database) as owner:
        await owner.execute(FILL, TENANTS, DEVICES, POINTS, DAYS, ROWS)
        await owner.execute(CATALOGUE)
        if request.param == "compressed":
            midnight = await owner.fetchval("SELECT date_trunc('day', now(), 'UTC')")
            days = await owner.fetchval("SELECT make_interval(days => $1)", COMPRESSED)
            chunks = await owner.fetch(OLD_CHUNKS, midnight - days)
            for chunk in chunks:
                await owner.execute(f"SELECT compress_chunk('{chunk['chunk']}')")
            assert len(chunks) == DAYS - COMPRESSED
        await owner.execute("ANALYZE")
    return database


@pytest.fixture
async def reader(filled: str) -> AsyncIterator[Any]:
    """As a reader of the second tenant."""
    async with login(filled, "IN ROLE traksense_reader") as connection:
        await connection.execute("SELECT set_config('app.tenant_id', 't2', false)")
        yield connection


async def test_it_is_the_newest_row_of_each_point(reader: Any) -> None:
    rows = await reader.fetch("SELECT * FROM tenant.latest ORDER BY device_id, point_id")
    newest = "SELECT DISTINCT ON (device_id, point_id) * FROM tenant.ts_measure ORDER BY device_id, point_id, ts DESC"
    expected = [dict(row) for row in await reader.fetch(newest)]
    assert [dict(row) for row in rows] == expected
    assert [list(row.keys()) for row in rows][:1] == [list(row) for row in expected][:1], "the columns of ts_measure"
    assert {row["device_id"]: int(row["v_num"]) // 1000 for row in rows} == NEWEST_DAY


async def test_of_a_device_it_is_the_same(reader: Any) -> None:
    for device in (*NEWEST_DAY, "nobody", "", "%"):
        query = "SELECT * FROM tenant.latest WHERE device_id = $1 ORDER BY point_id"
        rows = await reader.fetch("SELECT * FROM tenant.latest_of($1) ORDER BY point_id", device)
        assert rows == await reader.fetch(query, device)
        assert len(rows) == (POINTS if device in NEWEST_DAY else 0)


async def test_a_late_row_is_not_the_newest(filled: str, reader: Any) -> None:
    """Also one in a chunk that is compressed already, of a device whose newest rows are there."""
    before = await reader.fetch("SELECT * FROM tenant.latest ORDER BY device_id, point_id")
    late = """
        INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num)
        SELECT tenant_id, device_id, point_id, ts - interval '30 seconds', -1 FROM tenant.latest"""
    async with connected(filled) as owner:
        await owner.execute("SELECT set_config('app.tenant_id', 't2', false)")
        await owner.execute(late)
        assert await reader.fetch("SELECT * FROM tenant.latest ORDER BY device_id, point_id") == before
        await owner.execute(late.replace("- interval '30 seconds'", "+ interval '30 seconds'"))
    rows = await reader.fetch("SELECT * FROM tenant.latest")
    assert {(row["v_num"], row["unit"]) for row in rows} == {(-1, None)}
    assert len(rows) == DEVICES * POINTS


async def test_a_point_without_rows_has_no_latest(filled: str, reader: Any) -> None:
    async with connected(filled) as owner:
        await owner.execute("DELETE FROM ts_measure WHERE tenant_id = 't2' AND device_id = 'd3' AND point_id = 'p1'")
    assert await reader.fetchval("SELECT count(*) FROM tenant.latest_of('d3')") == POINTS - 1
    assert await reader.fetchval("SELECT count(*) FROM tenant.device_point WHERE device_id = 'd3'") == POINTS


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("device", [None, *list(NEWEST_DAY)[:3]])
async def test_each_point_is_found_by_one_descent(reader: Any, device: str | None, mode: str) -> None:
    """Of the index of each chunk, from the newest on, until one has a row; of a compressed one, by a segment's key."""
    await reader.execute(f"SET plan_cache_mode = {mode}")
    await reader.execute("SET enable_seqscan = off")  # points and segments are too few here for an index to pay
    await reader.execute("PREPARE of_all AS SELECT * FROM tenant.latest")
    await reader.execute("PREPARE of_one(text) AS SELECT * FROM tenant.latest_of($1)")
    execute = f"of_one('{device}')" if device else "of_all"
    text = await reader.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {execute}")
    plan = json.loads(text)[0]["Plan"]
    points = POINTS if device else DEVICES * POINTS
    assert plan["Actual Rows"] == points
    scans = [node for node in nodes_of(plan) if "Scan" in node["Node Type"] and node["Actual Loops"]]
    catalogue = [node for node in scans if node.get("Relation Name", node.get("Index Name", "")).startswith("device_")]
    measures = [node for node in scans if is_scan_of_measures(node)]
    assert sum(node["Actual Rows"] for node in catalogue[:1]) == points
    for node in measures:
        assert "Index Scan" in node["Node Type"], node
        for column in ("tenant_id", "device_id", "point_id"):
            assert f"({column} = " in node["Index Cond"], node
        assert node["Actual Rows"] <= 1, "of each point"
        assert node.get("Rows Removed by Filter", 0) == 0
        assert node["Actual Loops"] <= points
    if device:  # of a tenant, rows per loop are rounded
        assert sum(node["Actual Rows"] * node["Actual Loops"] for node in measures) == points, "rows and segments"
        assert len(measures) <= NEWEST_DAY[device], "it ends at the newest chunk that has a row"


def is_scan_of_measures(node: dict[str, Any]) -> bool:
    """Of rows, or of the segments of a compressed chunk: not what turns these into rows."""
    name: str = node.get("Relation Name", "")
    return node["Node Type"] != "Custom Scan" and name.startswith(("ts_measure", "_hyper_", "compress_hyper_"))


def nodes_of(plan: dict[str, Any]) -> Any:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)


async def test_what_a_writer_stores_is_the_latest_at_once(stack: Stack) -> None:
    await stack.writer()
    await stack.append(*telem("dev", 0, [{"name": "temp", "v": 1.5, "u": "°C"}], tenant="one", meta={"fw": "1"}))
    await stack.append(*telem("dev", 9, [{"name": "temp", "v": 2.5, "u": "°F"}, {"name": "door", "v": True}], "one"))
    await stack.append(*telem("dev", 5, [{"name": "temp", "v": 3.5}], tenant="one"))
    await stack.append(*telem("dev", 10, [{"name": "temp", "v": 9.5}], tenant="two"))
    await stack.has_rows("ts_measure", 5)
    async with login(stack.database_url, "IN ROLE traksense_reader") as reader:
        await reader.execute("SELECT set_config('app.tenant_id', 'one', false)")
        rows = await reader.fetch("SELECT * FROM tenant.latest_of('dev') ORDER BY point_id")
    assert [
        (row["point_id"], row["v_num"], row["v_bool"], row["unit"], (row["ts"] - START).seconds) for row in rows
    ] == [
        ("door", None, True, None, 9),
        ("temp", 2.5, None, "°F", 9),
    ]
