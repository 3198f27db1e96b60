"""What is in the aggregates, and that it outlives the rows that it was made from."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.shaped import connected, refresh, run_jobs
from traksense_ingest.ops.schema import sql
from traksense_ingest.ops.schema.aggregates import existing_aggregates
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape

NAMES = ("1m", "5m", "1h")
BUCKETS = {"1m": "1 minute", "5m": "5 minutes", "1h": "1 hour"}
WITHOUT_RETENTION = DesiredPolicies(aggregates=NAMES)
WITH_RETENTION = DesiredPolicies(retention=30, aggregates=NAMES)

pytestmark = pytest.mark.timescaledb


@pytest.fixture
async def owner(timescale: str) -> AsyncIterator[Any]:
    async with connected(timescale) as connection:
        yield connection


async def insert(owner: Any, when: str, *values: float | None, point: str = "temp") -> None:
    """Readings of one tenant, ten seconds apart, from a full hour on."""
    await owner.execute(
        f"INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num) SELECT 't', 'd', $1, "
        f"date_trunc('hour', {when}) + make_interval(secs => 10 * at), v "
        "FROM unnest($2::double precision[]) WITH ORDINALITY AS given (v, at)",
        point,
        values,
    )


async def readings_of(owner: Any, name: str, before: str = "now()") -> int:
    """How many readings an aggregate says there were."""
    await owner.execute("SET app.tenant_id = 't'")
    return int(
        await owner.fetchval(f"SELECT coalesce(sum(count), 0) FROM tenant.ts_measure_{name} WHERE bucket < {before}")
    )


@pytest.mark.parametrize("is_refreshed", [True, False])
async def test_each_says_the_same_as_the_rows(timescale: str, owner: Any, is_refreshed: bool) -> None:
    """Before its first refresh as well: what isn't materialised yet is computed."""
    await shape(timescale, WITHOUT_RETENTION)
    async with owner.transaction():  # what is older than a refresh in between would wait for the next one
        for hours in (1, 2, 30, 300):
            await insert(owner, f"now() - INTERVAL '{hours} hours'", *(hours + at * 0.25 for at in range(200)))
            await insert(owner, f"now() - INTERVAL '{hours} hours'", 1.0, None, -3.0, point="other")
    if is_refreshed:
        await refresh(owner)
    await owner.execute("SET app.tenant_id = 't'")
    for name, width in BUCKETS.items():
        ours = await owner.fetch(
            f"SELECT point_id, bucket, avg, min, max, sum, count FROM tenant.ts_measure_{name} ORDER BY 1, 2"
        )
        theirs = await owner.fetch(
            f"SELECT point_id, time_bucket('{width}', ts) AS bucket, avg(v_num), min(v_num), max(v_num), sum(v_num), "
            "count(*) FROM ts_measure WHERE v_num IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
        )
        assert [tuple(row) for row in ours] == [tuple(row) for row in theirs]


@pytest.mark.parametrize("is_refreshed", [True, False])
async def test_the_share_of_readings_that_are_true(timescale: str, owner: Any, is_refreshed: bool) -> None:
    await shape(timescale, WITHOUT_RETENTION)
    await owner.execute(
        "INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_bool) SELECT 't', 'd', 'compressor', "
        "date_trunc('hour', now() - INTERVAL '3 hours') + n * INTERVAL '1 minute', n % 4 = 0 "
        "FROM generate_series(0, 59) AS n"
    )
    await insert(owner, "now() - INTERVAL '3 hours'", 1, 2)
    if is_refreshed:
        await refresh(owner)
    await owner.execute("SET app.tenant_id = 't'")
    columns = "point_id, avg, count, count_true, count_bool, on_ratio"
    rows = await owner.fetch(f"SELECT {columns} FROM tenant.ts_measure_1h ORDER BY point_id")
    assert [tuple(row) for row in rows] == [("compressor", None, 0, 15, 60, 0.25), ("temp", 1.5, 2, 0, 0, None)]


async def test_an_aggregate_of_an_earlier_version_has_no_booleans_and_stays(timescale: str, owner: Any) -> None:
    create = sql.CREATE_FROM_ROWS.format(name="1m", bucket="1 minute")
    before = re.sub(r",\s+count\(\*\) FILTER.*? AS count_bool", "", create, flags=re.DOTALL)
    assert "count_bool" not in before
    await owner.execute("CREATE SCHEMA aggregates")
    await owner.execute("ALTER TABLE ts_measure DISABLE ROW LEVEL SECURITY")
    await owner.execute(before)
    await owner.execute("ALTER TABLE ts_measure ENABLE ROW LEVEL SECURITY")
    await owner.execute(
        "CREATE VIEW tenant.ts_measure_1m AS SELECT tenant_id, device_id, point_id, bucket, sum / count AS avg, min, "
        "max, sum, count FROM aggregates.ts_measure_1m"
    )
    changes = await shape(timescale, WITHOUT_RETENTION)
    assert "tenant.ts_measure_1m: has the columns count_true, count_bool and on_ratio" in changes
    await insert(owner, "now() - INTERVAL '3 hours'", 1, 2)
    await owner.execute("SET app.tenant_id = 't'")
    for name in NAMES:
        row = await owner.fetchrow(f"SELECT sum(count)::integer, count(on_ratio) FROM tenant.ts_measure_{name}")
        assert tuple(row) == (2, 0)
    assert await shape(timescale, WITHOUT_RETENTION) == []


async def test_what_comes_late_is_refreshed(timescale: str, owner: Any) -> None:
    await shape(timescale, WITH_RETENTION)
    await insert(owner, "now() - INTERVAL '5 days'", 1, 2)
    await refresh(owner)
    await insert(owner, "now() - INTERVAL '5 days'", 3, point="late")
    await refresh(owner)
    for name in NAMES:
        assert await readings_of(owner, name) == 3


async def test_they_outlive_the_rows(timescale: str, owner: Any) -> None:
    await shape(timescale, WITHOUT_RETENTION)
    await insert(owner, "now() - INTERVAL '40 days'", 1, 2)
    await insert(owner, "now() - INTERVAL '2 days'", 3, 4)
    await refresh(owner)
    assert "aggregates.ts_measure_1m: refreshed every minute, as far back as 29 days" in await shape(
        timescale, WITH_RETENTION
    )
    await run_jobs(owner, "policy_retention")
    assert await owner.fetchval("SELECT count(*) FROM ts_measure") == 2
    await refresh(owner)
    for name in NAMES:
        assert await readings_of(owner, name) == 4


async def test_a_row_that_is_too_late_lands_and_is_dropped(timescale: str, owner: Any) -> None:
    await shape(timescale, WITHOUT_RETENTION)
    await insert(owner, "now() - INTERVAL '40 days'", 1, 2)
    await refresh(owner)
    await shape(timescale, WITH_RETENTION)
    await run_jobs(owner, "policy_retention")
    await insert(owner, "now() - INTERVAL '40 days'", 3, point="late")
    await refresh(owner)
    assert await owner.fetchval("SELECT count(*) FROM ts_measure") == 1
    assert [await readings_of(owner, name) for name in NAMES] == [2, 2, 2], "as they were"
    await run_jobs(owner, "policy_retention")
    assert await owner.fetchval("SELECT count(*) FROM ts_measure") == 0


@pytest.mark.parametrize("then", [WITHOUT_RETENTION, DesiredPolicies(retention=300, aggregates=NAMES)])
async def test_a_longer_retention_takes_nothing_out_of_them(timescale: str, owner: Any, then: DesiredPolicies) -> None:
    """Rows that an earlier one has dropped don't come back."""
    await shape(timescale, WITHOUT_RETENTION)
    await insert(owner, "now() - INTERVAL '40 days'", 1, 2)
    await refresh(owner)
    await shape(timescale, WITH_RETENTION)
    await run_jobs(owner, "policy_retention")
    await shape(timescale, then)
    await refresh(owner)
    for name in NAMES:
        assert await readings_of(owner, name) == 2


async def test_nor_does_a_refresh_that_somebody_had_ended(timescale: str, owner: Any) -> None:
    await shape(timescale, WITHOUT_RETENTION)
    await insert(owner, "now() - INTERVAL '40 days'", 1, 2)
    await refresh(owner)
    await owner.execute("SELECT remove_continuous_aggregate_policy('aggregates.ts_measure_1m')")
    await owner.execute("SELECT drop_chunks('ts_measure', INTERVAL '30 days')")
    await shape(timescale, WITHOUT_RETENTION)
    await refresh(owner)
    assert (await existing_aggregates(owner))["1m"].start == timedelta(days=1)
    for name in NAMES:
        assert await readings_of(owner, name) == 2


async def test_one_device_stops_nobodys_refresh(timescale: str, owner: Any) -> None:
    """Two finite readings can have a sum that isn't."""
    await shape(timescale, WITHOUT_RETENTION)
    await insert(owner, "now() - INTERVAL '1 day'", 1.7e308, 1.7e308, -1.7e308, point="hostile")
    await insert(owner, "now() - INTERVAL '1 day'", *[1e290] * 300, point="large")
    await insert(owner, "now() - INTERVAL '1 day'", 1, 2)
    await refresh(owner)
    for name in NAMES:
        assert await readings_of(owner, name) == 302


async def test_a_finer_one_may_be_added_later(timescale: str, owner: Any) -> None:
    """The coarser one stays made from the rows."""
    await shape(timescale, DesiredPolicies(retention=30, aggregates=("1h",)))
    await insert(owner, "now() - INTERVAL '1 day'", 1, 2)
    await refresh(owner)
    assert await shape(timescale, WITH_RETENTION) == [
        "aggregates.ts_measure_1m: made from ts_measure",
        "aggregates.ts_measure_5m: made from ts_measure_1m",
        "aggregates.ts_measure_1m: refreshed every minute, as far back as 29 days",
        "aggregates.ts_measure_5m: refreshed every 5 minutes, to the beginning",
    ]
    await refresh(owner)
    for name in NAMES:
        assert await readings_of(owner, name) == 2
