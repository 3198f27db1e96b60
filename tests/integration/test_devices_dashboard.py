"""The dashboard of devices: each of its queries, as Grafana sends it, on a database of two tenants."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.grafana.device_panels import sql
from tests.support.grafana import Shown, filled_in, statements
from tests.support.shaped import connected, refresh
from tests.support.tenant_reader import RIVAL, TENANT, connected_reader, has_psql, two_tenants
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape

pytestmark = pytest.mark.skipif(not has_psql(), reason="psql 15 is not installed")

DEVICES, POINTS = [f"{TENANT}1", f"{TENANT}2"], ["p1", "p2"]
RIVALS = [f"{RIVAL}1", f"{RIVAL}2"]
HOSTILE = [
    f"'; SET app.tenant_id = '{RIVAL}'; SELECT '",
    f"{RIVAL}1']) OR device_id = ANY (ARRAY['{RIVAL}1",
    "\\'",
    "$point",
]
WITHOUT_NAMES = {"Devices by status", "Commands of all devices", "source", "point"}
NAMES = {
    1: "readings",
    20: "ts_measure_1m",
    24 * 5: "ts_measure_5m",
    24 * 20: "ts_measure_1h",
}  # by hours that are shown


@pytest.fixture
async def url(database: str) -> AsyncIterator[str]:
    async with two_tenants(database):
        yield database


@pytest.fixture
async def reader(url: str) -> AsyncIterator[Any]:
    async with connected_reader(url) as connection:
        yield connection


@pytest.fixture
async def reader_of_aggregates(timescale: str, url: str) -> AsyncIterator[Any]:
    """With all aggregates, refreshed."""
    await shape(timescale, DesiredPolicies(aggregates=("1m", "5m", "1h")))
    async with connected(url) as owner:
        await refresh(owner)
    async with connected_reader(url) as connection:
        yield connection


def shown(hours: float = 1, device: Sequence[str] = DEVICES, point: Sequence[str] = POINTS, **more: Any) -> Shown:
    end = datetime.now(UTC)
    return Shown(end - timedelta(hours=hours), end, device, point, **more)


async def ask(reader: Any, name: str, what: Shown) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await reader.fetch(filled_in(sql(name), what))]


async def source_of(reader: Any, what: Shown) -> str:
    ((name,),) = await ask(reader, "source", what)
    return str(name)


async def test_each_query_shows_the_tenant_and_no_other(reader: Any) -> None:
    for name, query in statements().items():
        rows = await reader.fetch(filled_in(query, shown()))
        assert rows, name
        assert RIVAL not in repr(rows), name
        if name not in WITHOUT_NAMES:
            assert TENANT in repr(rows), name


async def test_no_value_of_a_variable_shows_another(reader: Any) -> None:
    """Neither the names of another tenant's devices and points nor what would end the quotes."""
    for name, query in statements().items():
        for values in (RIVALS, HOSTILE, []):
            rows = await reader.fetch(filled_in(query, shown(device=values, point=values)))
            assert RIVAL not in repr(rows), name
            if "$device" in query and name != "source":
                assert rows == [], name
    assert await reader.fetchval("SHOW app.tenant_id") == TENANT


async def test_counts_are_those_of_the_tenant(reader: Any) -> None:
    assert await ask(reader, "statuses", shown()) == [(0, 1, 0, 1, 2)]
    assert await ask(reader, "answers", shown()) == [(3, 2, 1, 1, 2.0)]
    assert (await ask(reader, "answers", shown(0.01)))[0][:4] == (0, 0, 0, 0)


async def test_what_needs_somebody_is_first(url: str, reader: Any) -> None:
    async with connected(url) as owner:
        await owner.execute(
            "INSERT INTO device (tenant_id, device_id, site_id, first_seen, last_seen, interval_s) "
            "SELECT $1, 'd' || n, 's', now(), now() - make_interval(secs => 560 + 1000 * n), 1000 "
            "FROM generate_series(0, 6) AS n",
            TENANT,
        )
    rows = await ask(reader, "device_list", shown())
    assert [row[2] for row in rows] == ["silent"] * 3 + ["late"] * 3 + ["online"] * 3
    assert (rows[0][0], rows[-3][0]) == (DEVICES[1], DEVICES[0]), "longest silent; then the one with a wrong clock"


async def test_latest_values_are_readable(url: str, reader: Any) -> None:
    async with connected(url) as owner:
        await owner.execute(
            "INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_text) "
            "VALUES ($1, $2, 'p3', now(), 'defrost'), ($1, $2, 'p4', now(), NULL)",
            TENANT,
            DEVICES[0],
        )
        await owner.execute(
            "INSERT INTO device_point VALUES ($1, $2, 'p3', NULL, now()), ($1, $2, 'p4', NULL, now())",
            TENANT,
            DEVICES[0],
        )
    rows = await ask(reader, "latest", shown(device=DEVICES[:1]))
    assert [row[1:4] for row in rows] == [
        ("p1", "1", "°C"),
        ("p2", "off", None),
        ("p3", "defrost", None),
        ("p4", "no reading", None),
    ]
    assert all(0 <= row[4] < 3600 for row in rows)


async def test_commands_and_events_of_the_chosen_device(reader: Any) -> None:
    rows = await ask(reader, "command_list", shown(device=DEVICES[:1]))
    assert [(row[3], row[4]) for row in rows] == [("done", 2), ("failed", 2), ("overdue", None)]
    assert [row[1:4] for row in await ask(reader, "events", shown())] == [(DEVICES[0], "state", "online")]
    assert await ask(reader, "events", shown(device=DEVICES[1:])) == []
    assert await ask(reader, "events", shown(0.01)) == []


async def test_without_aggregates_graphs_read_rows(reader: Any) -> None:
    for hours in NAMES:
        assert await source_of(reader, shown(hours)) == "readings"
    assert await source_of(reader, shown(1, device=[])) == "readings"


@pytest.mark.timescaledb
async def test_the_range_decides_what_graphs_read(reader_of_aggregates: Any) -> None:
    for hours, name in NAMES.items():
        assert await source_of(reader_of_aggregates, shown(hours)) == name


@pytest.mark.timescaledb
async def test_where_rows_are_dropped_graphs_read_the_finest_aggregate(url: str, reader_of_aggregates: Any) -> None:
    async with connected(url) as owner:
        await owner.execute("DELETE FROM ts_measure WHERE ts < now() - interval '1 hour'")
    then = datetime.now(UTC) - timedelta(hours=20)
    what = Shown(then - timedelta(hours=1), then, DEVICES, POINTS)
    name = await source_of(reader_of_aggregates, what)
    assert name == "ts_measure_1m"
    assert len(await ask(reader_of_aggregates, "numbers", what._replace(source=name))) == 2 * 5


def expected(interval_s: int) -> list[tuple[int, float]]:
    """Of p1: how many seconds before the minute an interval begins, and its mean."""
    return [
        (first + interval_s, sum(n for n in range(1, 31) if first < 10 * n <= first + interval_s) / (interval_s / 10))
        for first in range(300 - interval_s, -1, -interval_s)
    ]


@pytest.mark.parametrize("interval_s", [10, 60])
async def test_numbers_are_the_mean_of_each_interval(reader: Any, interval_s: int) -> None:
    rows = await ask(reader, "numbers", shown(1, DEVICES[:1], interval=timedelta(seconds=interval_s)))
    assert {row[1] for row in rows} == {f"{DEVICES[0]} p1 °C"}
    newest = max(row[0] for row in rows) + timedelta(seconds=interval_s)
    assert [((newest - row[0]).total_seconds(), row[2]) for row in rows] == expected(interval_s)


@pytest.mark.timescaledb
@pytest.mark.parametrize("minutes", [1, 2, 60])
async def test_aggregates_give_the_same_as_rows(reader_of_aggregates: Any, minutes: int) -> None:
    names = ["ts_measure_1h"] if minutes == 60 else ["ts_measure_1m"]
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=10)
    rows = Shown(end - timedelta(hours=12), end, DEVICES, POINTS, interval=timedelta(minutes=minutes))
    for query in ("numbers", "ratios"):
        of_rows = sorted(await ask(reader_of_aggregates, query, rows))
        assert of_rows
        for name in names:
            assert sorted(await ask(reader_of_aggregates, query, rows._replace(source=name))) == of_rows


async def test_numbers_that_have_no_finite_sum_are_left_out(url: str, reader: Any) -> None:
    async with connected(url) as owner:
        await owner.execute(
            "INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num) SELECT $1, $2, 'p1', "
            "now() - make_interval(secs => n), 1.7e308 FROM generate_series(1, 9) AS n",
            TENANT,
            DEVICES[0],
        )
    assert max(row[2] for row in await ask(reader, "numbers", shown())) <= 30


async def test_ratios_are_the_share_of_true_readings(reader: Any) -> None:
    rows = await ask(reader, "ratios", shown(1, DEVICES[1:], interval=timedelta(seconds=30)))
    assert [row[1:] for row in rows] == [(f"{DEVICES[1]} p2", pytest.approx(1 / 3))] * 10


@pytest.mark.parametrize(("query", "rows"), [("numbers", 60), ("ratios", 60), ("latest", 2), ("source", 1)])
async def test_it_reads_no_more_than_it_shows(url: str, reader: Any, query: str, rows: int) -> None:
    """Device, point and time are conditions of the index behind two views, not filters of what these return."""
    async with connected(url) as owner:
        await owner.execute(
            "INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num) "
            "SELECT $1, 'd' || device, 'p' || point, now() - make_interval(mins => minute), 1 "
            "FROM generate_series(1, 40) AS device, generate_series(1, 20) AS point, generate_series(1, 60) AS minute",
            TENANT,
        )
        await owner.execute("ANALYZE")
    text = await reader.fetchval("EXPLAIN (ANALYZE, FORMAT JSON) " + filled_in(sql(query), shown(device=DEVICES[:1])))
    scans = [node for node in nodes_of(json.loads(text)[0]["Plan"]) if is_scan_of_rows(node)]
    assert 0 < sum(node["Actual Rows"] * node["Actual Loops"] for node in scans) <= rows
    assert sum(node.get("Rows Removed by Filter", 0) for node in scans) <= rows


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)


def is_scan_of_rows(node: dict[str, Any]) -> bool:
    """Of the table, or of a chunk of it."""
    return bool(re.search(r"^ts_measure$|_chunk$", node.get("Relation Name", ""))) and "Custom" not in node["Node Type"]
