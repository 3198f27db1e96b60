"""Telemetry that comes when its day is compressed, through a writer that has no more than its role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.shaped import connected, run_jobs
from tests.support.stack import Stack, telem
from tests.support.writer_role import AsWriterRole, login_role
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape

CHUNKS = "FROM timescaledb_information.chunks WHERE hypertable_name = 'ts_measure'"
IS_COMPRESSED = f"SELECT is_compressed {CHUNKS}"
# The bit says that a compressed chunk has rows beside the compressed ones.
IS_PARTIAL = f"SELECT status & 8 <> 0 FROM _timescaledb_catalog.chunk WHERE table_name = (SELECT chunk_name {CHUNKS})"

pytestmark = pytest.mark.timescaledb


@pytest.fixture
async def compressed(stack: Stack, postgres: Server, tmp_path: Path) -> AsyncIterator[AsWriterRole]:
    """A day of two devices, long ago and compressed; its aggregates are there as well."""
    if not getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has no timescaledb")
    as_role = AsWriterRole(stack.broker, stack.redis_server, stack.database_url, tmp_path)
    await shape(stack.database_url, DesiredPolicies(compress_after=7, aggregates=("1m",)))
    async with login_role(stack) as as_role.role_url:
        for device in ("a", "b"):
            for second in range(100):
                await as_role.append(*telem(device, 10 * second, points=5))
        await as_role.writer()
        await as_role.has_rows("ts_measure", 1000)
        async with connected(stack.database_url) as owner:
            await run_jobs(owner, "policy_compression")
        assert await as_role.fetchval(IS_COMPRESSED)
        yield as_role
        await as_role.close()


async def test_late_rows_land(compressed: AsWriterRole) -> None:
    """Between rows that are there, of a point that is new, of a device that is new."""
    for second in range(100):
        await compressed.append(*telem("a", 10 * second + 5, points=6))
        await compressed.append(*telem("c", 10 * second + 5, points=1))
    await compressed.has_rows("ts_measure", 1700)
    assert await compressed.fetchval("SELECT count(*) FROM ingest_errors") == 0


async def test_what_is_there_already_changes_nothing(compressed: AsWriterRole) -> None:
    """Delivered again whole, and in batches with what is new."""
    for second in range(100):
        await compressed.append(*telem("a", 10 * second, points=5))
        await compressed.append(*telem("a", 10 * second + 1, points=5))
    await compressed.has_rows("ts_measure", 1500)
    for second in range(100):
        await compressed.append(*telem("a", 10 * second + 1, points=5))
        await compressed.append(*telem("b", 10 * second, points=5))
    await compressed.append(*telem("b", 5, points=1))
    await compressed.has_rows("ts_measure", 1501)
    keys = "SELECT count(DISTINCT (tenant_id, device_id, point_id, ts)) FROM ts_measure"
    assert await compressed.fetchval(keys) == 1501
    assert await compressed.fetchval("SELECT count(*) FROM ingest_errors") == 0


async def test_they_are_compressed_with_the_next_run(compressed: AsWriterRole) -> None:
    await compressed.append(*telem("a", 5, points=5))
    await compressed.has_rows("ts_measure", 1005)
    assert await compressed.fetchval(IS_PARTIAL)
    async with connected(compressed.database_url) as owner:
        await run_jobs(owner, "policy_compression")
    assert not await compressed.fetchval(IS_PARTIAL)
    assert await compressed.fetchval(IS_COMPRESSED)
    assert await compressed.count("ts_measure") == 1005


async def test_an_old_day_may_be_aggregated_and_written_to_at_once(compressed: AsWriterRole) -> None:
    for second in range(50):
        await compressed.append(*telem("a", 10 * second + 5, points=5))
    async with connected(compressed.database_url) as owner:
        await run_jobs(owner, "policy_refresh_continuous_aggregate")
        await compressed.has_rows("ts_measure", 1250)
        await run_jobs(owner, "policy_refresh_continuous_aggregate")
        assert await owner.fetchval("SELECT sum(count) FROM aggregates.ts_measure_1m") == 1250
