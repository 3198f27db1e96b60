"""What programs of the first version read after it: views with the old names, and a chart of a year."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.support import first_version
from tests.support.first_version import DEVICES, POINTS, TENANTS, WIDTHS, Kind
from tests.support.old_database import NOW, OLD_ROWS, OldDatabase, named
from tests.support.shaped import refresh

pytestmark = pytest.mark.long  # of `make test-all`

AGGREGATES = {"INGEST_AGGREGATES": "1m,5m,1h"}


async def old_rows(old: OldDatabase, relation: str, **role: Any) -> list[Any]:
    return await old.query(f"{OLD_ROWS} FROM {relation} ORDER BY ts, 2, 3, v_num", **role)


async def test_views_with_the_old_names_and_columns(old: OldDatabase) -> None:
    tenant = str(TENANTS[0])
    before = [row for row in await old_rows(old, "ts_measure") if row[0] == tenant]
    await old.adopt("--compat-views")
    for relation in ("ts_measure", "public.ts_measure_tenant"):
        for role in ("app_user", "app_readonly"):
            rows = await old_rows(old, relation, role=role, tenant=tenant)
            assert len(rows) == 3_000
            assert {row[:7] for row in rows} <= {row[:7] for row in before}
            assert {row[8] for row in rows} == {0, 2}
    assert await old_rows(old, "ts_measure", role="app_user", tenant=str(TENANTS[1])) == []
    assert await old_rows(old, "ts_measure", role="app_user") == []
    acks = await old.query("SELECT cmd_id::text, ok FROM cmd_ack ORDER BY 1", role="app_readonly", tenant=tenant)
    assert acks == [(str(POINTS[0]), False), (str(POINTS[1]), True)]
    letters = await old.query("SELECT topic FROM ingest_errors", role="app_readonly", tenant=tenant)
    assert letters == [("traksense/acme/s/chiller-1/telem",)]


async def test_what_the_old_service_inserts_is_stored(old: OldDatabase) -> None:
    await old.adopt("--compat-views")
    id_ = old.kind.id_type
    insert = (
        "INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, v_bool, qual) "
        f"VALUES ($1::text::{id_}, $2::text::{id_}, $3::text::{id_}, $4, 1, true, 3)"
    )
    row = (str(TENANTS[0]), str(DEVICES[0]), str(POINTS[4]), NOW)
    for _ in range(2):
        await old.query(insert, *row, role="app_user", tenant=str(TENANTS[0]))
    found = await old.query("SELECT v_num, v_bool, meta::text FROM ts_measure WHERE point_id = $1", str(POINTS[4]))
    assert found == [(None, True, '{"qual": 3}')]
    async with old.owner.transaction():
        await old.owner.execute("SET LOCAL SESSION AUTHORIZATION app_user")
        await old.owner.execute("SET LOCAL search_path = compat, public")
        await old.owner.execute(f"SET LOCAL app.tenant_id = '{TENANTS[1]}'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"while app\.tenant_id is"):
            await old.owner.execute(insert, *row)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await old.query(insert, *row, role="app_readonly", tenant=str(TENANTS[0]))


async def test_without_an_adoption_there_are_no_such_views(empty_database: str, owner_of_empty: Any) -> None:
    fresh = OldDatabase(empty_database, owner_of_empty, Kind("text", False))
    for option in ("--compat-views", "--undo-adopt", "--drop-v1", "--adopt"):
        done = await fresh.migrate(option, *["--yes"] * (option == "--drop-v1"))
        assert done.returncode == 2, option
        assert option in done.stderr.splitlines()[-1]


@pytest.mark.timescaledb
@pytest.mark.parametrize("old", ["uuid"], indirect=True)
async def test_a_years_chart_stays_a_years(old: OldDatabase) -> None:
    if not old.kind.has_timescaledb:
        pytest.skip("this PostgreSQL has no timescaledb")
    await first_version.add_rows(old.owner, old.kind, NOW - timedelta(days=100), 2_000)
    await first_version.refresh(old.owner)
    charts = {name: await _chart(old, f"public.ts_measure_{name}", "tb", "v_") for name in WIDTHS}
    await old.owner.execute("SELECT drop_chunks('ts_measure', INTERVAL '14 days')")
    await old.adopt(**AGGREGATES)
    for is_dropped in (False, True):
        if is_dropped:
            assert (await old.migrate("--drop-v1", "--yes")).returncode == 0
        for name, chart in charts.items():
            ours = await _chart(old, f"aggregates.complete_{name}", "bucket", "", "sum / count")
            assert {key: ours[key] for key in chart if chart[key] is not None} == chart
        for name in WIDTHS:
            await old.owner.execute("SET app.tenant_id = 'acme'")
            seen = await old.query(
                f"SELECT sum(count) FROM tenant.ts_measure_{name} WHERE bucket < now() - INTERVAL '20 days'"
            )
            assert seen[0][0] >= 1_500, "numbers and booleans of a hundred days ago"


@pytest.mark.timescaledb
@pytest.mark.parametrize("old", ["uuid"], indirect=True)
async def test_no_hole_between_history_and_rows(old: OldDatabase) -> None:
    """Of days of which rows are copied, and soon dropped; and of days whose rows somebody has dropped already."""
    if not old.kind.has_timescaledb:
        pytest.skip("this PostgreSQL has no timescaledb")
    await first_version.add_rows(old.owner, old.kind, NOW, 12 * 24, every="1 hour")
    await first_version.refresh(old.owner)
    await old.owner.execute("SELECT drop_chunks('ts_measure', INTERVAL '10 days')")
    days = "SELECT DISTINCT date_trunc('day', {}) FROM {} ORDER BY 1"
    before = await old.query(days.format("tb", "ts_measure_1h"))
    await old.adopt(INGEST_RETENTION_DAYS="7", **AGGREGATES)
    await refresh(old.owner)
    await old.owner.execute("SELECT drop_chunks('public.ts_measure', INTERVAL '7 days')")
    await old.owner.execute("SET app.tenant_id = 'acme'")
    assert await old.query(days.format("bucket", "tenant.ts_measure_1h")) == before
    assert len(before) >= 12


async def _chart(old: OldDatabase, relation: str, time: str, prefix: str, avg: str = "v_avg") -> Mapping[Any, Any]:
    """Average, least and greatest of what was a number in the first version too, a boolean not."""
    rows = await old.query(
        f"SELECT {time}, tenant_id::text, device_id::text, point_id::text, {avg}, {prefix}min, {prefix}max "
        f"FROM {relation} WHERE point_id::text <> '{POINTS[1]}' AND {prefix}min IS NOT NULL AND {time} < $1",
        NOW - timedelta(days=20),
    )
    return {(row[0], *named(row[1], row[2]), row[3]): tuple(round(value, 6) for value in row[4:]) for row in rows}
