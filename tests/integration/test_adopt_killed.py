"""A database of the first version is taken over while devices send: killed and run again, the command loses nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from tests.support import first_version
from tests.support.brokers import stack_on
from tests.support.budget import IS_FULL, few_of
from tests.support.first_version import TENANTS, Kind
from tests.support.old_service import old_service
from tests.support.program import Program
from tests.support.services import Services
from tests.support.stack import Stack
from tests.support.steady_load import Load
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server
from traksense_ingest.shared.database import migrations

pytestmark = pytest.mark.long  # of `make test-all`

ROWS = 300_000 if IS_FULL else 60_000
KILLS = 6 if IS_FULL else 3


@pytest.fixture
async def stack(services: Services, empty_database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """With a database that has nothing in it."""
    async with stack_on(services.broker(tmp_path), services, empty_database, tmp_path) as stack:
        yield stack


@pytest.mark.parametrize("id_type", few_of(["uuid", "text"], 1))
async def test_killed_and_run_again_while_messages_come(
    id_type: str, stack: Stack, postgres: Server, tmp_path: Path
) -> None:
    kind = Kind(id_type, bool(getattr(postgres, "has_timescaledb", False)))
    owner = await asyncpg.connect(stack.database_url)
    await first_version.create(owner, kind)
    await first_version.add_rows(owner, kind, datetime.now(UTC), ROWS, every="3 seconds")
    await owner.close()
    load, ending = Load(stack), asyncio.Event()
    await stack.receiver()
    publishing = asyncio.create_task(load.publish(ending))
    chance = random.Random(id_type)
    for kill in range(KILLS):
        with (tmp_path / "migrate.log").open("wb") as log:
            migrate = Program("ops", "migrate", "--adopt", environment=stack.environment, stdout=log)
        await eventually(lambda: _is_migrated(stack), "the tables are those of this version")
        enough = chance.randint(kill * ROWS // KILLS // 2, (kill + 1) * ROWS // KILLS // 2)
        await eventually(partial(_has_copied, stack, enough), f"{enough} rows are copied")
        migrate.kill()
        migrate.wait(60)
        if kill == 0:
            await stack.writer()
    last = await stack.command("migrate", "--adopt")
    assert last.returncode == 0, last.stderr
    ending.set()
    await publishing
    await eventually(lambda: _has_rows(stack, ROWS + load.count), "all messages are stored")
    copied = await stack.fetch("SELECT tenant_id, rows, stored, conflicts FROM adoption.copied")
    assert [tuple(row) for row in copied] == [("acme", ROWS, ROWS, 0)]
    assert await stack.fetchval("SELECT count(*) FROM ts_measure WHERE tenant_id = 'acme'") == ROWS
    missing = await stack.fetchval(
        f"SELECT count(*) FROM v1.ts_measure AS old WHERE tenant_id::text = '{TENANTS[0]}' AND NOT EXISTS ("
        "SELECT FROM ts_measure AS new WHERE new.tenant_id = 'acme' AND new.point_id = old.point_id::text "
        "AND new.ts = old.ts)"
    )
    assert missing == 0
    assert await stack.count("ingest_errors") == 0


async def test_the_cut_over_as_documented(stack: Stack, postgres: Server) -> None:
    """docs/migrating.md: the old service dies with messages in its memory, and every message is there once."""
    owner = await asyncpg.connect(stack.database_url)
    await first_version.create(owner, Kind("text", bool(getattr(postgres, "has_timescaledb", False))))
    await owner.close()
    load, ending = Load(stack), asyncio.Event()
    async with old_service(stack) as old:
        publishing = asyncio.create_task(load.publish(ending))
        await eventually(lambda: old.flushes > 0, "the old service stores")
        await stack.receiver()
        await old.has_flushed()
        await eventually(lambda: old.in_memory > 0, "the old service has messages that it will lose")
    adopting = asyncio.create_task(stack.command("migrate", "--adopt"))
    await eventually(lambda: _is_migrated(stack), "the tables are those of this version")
    await stack.writer()
    adopted = await adopting
    assert adopted.returncode == 0, adopted.stderr
    ending.set()
    await publishing
    await load.is_stored_once()


async def _is_migrated(stack: Stack) -> bool:
    try:
        return bool(await stack.fetchval("SELECT max(version) FROM schema_migrations") == migrations()[-1].version)
    except asyncpg.UndefinedTableError:
        return False


async def _has_copied(stack: Stack, least: int) -> bool:
    try:
        return bool(await stack.fetchval("SELECT coalesce(sum(rows), 0) >= $1 FROM adoption.copied", least))
    except asyncpg.UndefinedTableError:
        return False


async def _has_rows(stack: Stack, rows: int) -> bool:
    return await stack.count("ts_measure") == rows
