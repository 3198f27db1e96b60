"""Where TimescaleDB, or the edition of it that has policies, is not to be had: what to do instead."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support.services import DEBIAN, missing
from tests.support.shaped import connected, fill
from traksense_ingest.ops.embedded import Server, free_port
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape
from traksense_ingest.ops.schema.migrate import migrate

ALL = DesiredPolicies(retention=30, dlq_retention=90, compress_after=7, aggregates=("1m", "5m", "1h"))
OFF = DesiredPolicies()


async def test_a_plain_table_is_left_as_it_is_with_what_to_do_instead(
    empty_database: str, postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    if getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has timescaledb")
    await migrate(empty_database)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert await shape(empty_database, ALL) == []
    reason = "this PostgreSQL has no timescaledb"
    by_hand = "DELETE FROM public.ts_measure WHERE ts < now() - INTERVAL '30 days'"
    assert [record.message for record in caplog.records] == [
        f"INGEST_RETENTION_DAYS=30: {reason}; let cron run `{by_hand}` as the tables' owner",
        f"INGEST_DLQ_RETENTION_DAYS=90: {reason}; let cron run `traksense-ingest dlq purge --older-than 90d --yes`",
        f"INGEST_COMPRESS_AFTER_DAYS=7: {reason}; nothing is compressed",
        f"INGEST_AGGREGATES=1m,5m,1h: {reason}; there are no aggregates",
    ]
    caplog.clear()
    assert await shape(empty_database, OFF) == []
    assert not caplog.records


@pytest.mark.timescaledb
async def test_the_apache_edition_is_told_from_the_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if missing(DEBIAN):
        pytest.skip("Debian's servers are not installed here")
    with DEBIAN.postgres_type(tmp_path / "apache", free_port(), {"timescaledb.license": "apache"}) as server:
        if not getattr(server, "has_timescaledb", False):
            pytest.skip("this PostgreSQL has no timescaledb")
        await migrate(server.url)
        assert await shape(server.url, ALL) == []
        by_hand = "SELECT drop_chunks('public.ts_measure', INTERVAL '30 days')"
        assert "INGEST_RETENTION_DAYS=30: this timescaledb is its Apache edition; the Community edition has them " in (
            caplog.text
        )
        assert by_hand in caplog.text
        async with connected(server.url) as connection:
            await fill(connection, 40, 1)
            assert len(await connection.fetch(by_hand)) == 1
