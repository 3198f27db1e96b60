"""The procedure that deletes old dead letters: TimescaleDB's job, or cron's call."""

from __future__ import annotations

import asyncpg
import pytest

from tests.support.shaped import connected, login, run_jobs
from tests.support.waiting import eventually
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape

LETTERS = """
INSERT INTO ingest_errors (ts, topic, payload, reason, error_class, stream, entry_id, deliveries, replayed_at)
SELECT now() - make_interval(days => $1), 't', '', 'r', 'c', 's', $1 || '-' || n, 1, CASE WHEN n % 2 = 0 THEN now() END
FROM generate_series(1, $2::integer) AS n
"""
CALL = """CALL purge_dead_letters(0, '{"older_than": "90 days"}')"""


async def test_what_is_older_goes_and_the_rest_stays(database: str) -> None:
    """More than two portions of it."""
    async with connected(database) as connection:
        await connection.execute(LETTERS, 89, 3)
        await connection.execute(LETTERS, 91, 2500)
        await connection.execute(LETTERS, 1, 2)
        await connection.execute(CALL)
        left = await connection.fetch("SELECT DISTINCT now()::date - ts::date AS age FROM ingest_errors ORDER BY age")
        assert [row["age"] for row in left] == [1, 89]


async def test_what_a_replay_has_in_hand_stays(database: str) -> None:
    async with connected(database) as connection, connected(database) as replay:
        await connection.execute(LETTERS, 91, 10)
        async with replay.transaction():
            held = await replay.fetchval("SELECT id FROM ingest_errors WHERE entry_id = '91-4' FOR UPDATE")
            await connection.execute("SET lock_timeout = '30s'")
            await connection.execute(CALL)
        assert [row["id"] for row in await connection.fetch("SELECT id FROM ingest_errors")] == [held]


async def test_without_an_age_nothing_is_deleted(database: str) -> None:
    async with connected(database) as connection:
        await connection.execute(LETTERS, 91, 1)
        with pytest.raises(asyncpg.RaiseError, match="config has no older_than"):
            await connection.execute("CALL purge_dead_letters(0, '{}')")
        assert await connection.fetchval("SELECT count(*) FROM ingest_errors") == 1


async def test_nobody_else_may_call_it(database: str) -> None:
    async with login(database, "IN ROLE traksense_reader") as reader:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(CALL)


@pytest.mark.timescaledb
async def test_timescaledb_calls_it(timescale: str) -> None:
    async with connected(timescale) as connection:
        await connection.execute(LETTERS, 91, 1500)
        await connection.execute(LETTERS, 89, 1)

        async def is_done() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM ingest_errors") == 1)

        await shape(timescale, DesiredPolicies(dlq_retention=90))
        await run_jobs(connection, "purge_dead_letters")
        await eventually(is_done)
