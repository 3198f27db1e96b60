"""From the version before, in which a ledger's `revision` was called `looks`, in Redis and in the database."""

from __future__ import annotations

import json

import pytest

from tests.support.ledgers import fill
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import key_of, ledger_of
from traksense_ingest.shared.streams.snapshot import read_snapshot


async def count_of(stack: Stack, field: str) -> int:
    return int(await stack.redis.hget(ledger_of(0), field) or 0)


async def is_copied(stack: Stack, **figures: object) -> bool:
    rows = await stack.fetch("SELECT * FROM stream_ledger WHERE stream = $1", key_of(0))
    return bool(rows) and {name: rows[0][name] for name in figures} == figures


async def leave_backlog_of_version_before(stack: Stack, stored: int, backlog: int) -> int:
    """What its writers leave, stopped at a database that is locked; returns how many looks its ledger counts."""
    writer = await stack.writer()
    await fill(stack, stored, "stored")
    await stack.has_rows("ts_measure", stored)
    async with stack.locked("ts_measure"):
        await fill(stack, backlog, "backlog")
        await eventually(lambda: is_copied(stack, stored=stored, in_stream=backlog))
        writer.kill()
    looks = await count_of(stack, "revision")
    await stack.redis.hset(ledger_of(0), "looks", looks)
    await stack.redis.hdel(ledger_of(0), "revision")
    await stack.execute("ALTER TABLE stream_ledger RENAME COLUMN revision TO looks")
    await stack.execute("DELETE FROM schema_migrations WHERE version = 11")
    return looks


async def migrate(stack: Stack) -> None:
    migrated = await stack.command("migrate")
    assert (migrated.returncode, migrated.stdout) == (0, "1 migrations applied\n"), migrated.stderr


@pytest.mark.long
async def test_the_revision_goes_on_from_what_the_version_before_counted(stack: Stack) -> None:
    looks = await leave_backlog_of_version_before(stack, 5, 20)
    await migrate(stack)
    assert (await read_snapshot(stack.clients, 0)).revision == looks
    checked = await stack.status()
    assert checked.returncode == 0, checked.stdout
    writer = await stack.writer(INGEST_CLAIM_IDLE_MS=300)
    await stack.has_rows("ts_measure", 25)
    await eventually(lambda: is_copied(stack, stored=25, in_stream=0, lost=0))
    assert await count_of(stack, "revision") > looks
    assert "gone" not in writer.log
    await stack.is_well()


async def test_a_stream_that_was_deleted_during_the_upgrade_is_noticed(stack: Stack) -> None:
    """By the revision alone: the stream has grown beyond what it was."""
    await leave_backlog_of_version_before(stack, 5, 20)
    await stack.redis.flushall()
    await fill(stack, 50, "new")
    await migrate(stack)
    checked = await stack.status()
    assert (checked.returncode, "20 entries are lost" in checked.stdout) == (1, True), checked.stdout
    writer = await stack.writer()
    await writer.says("20 entries that were not settled are gone")
    await stack.has_rows("ts_measure", 55)
    await eventually(lambda: is_copied(stack, lost=20, added=50, stored=50, in_stream=0))


async def test_what_is_missing_from_a_ledger_of_the_version_before_can_be_written_off(stack: Stack) -> None:
    looks = await leave_backlog_of_version_before(stack, 5, 20)
    await stack.redis.xtrim(key_of(0), maxlen=17, approximate=False)
    await migrate(stack)
    accepted = json.loads((await stack.status("--accept-loss", "--json")).stdout)
    assert accepted == {"accepted": {"ingest:{0}": 3}}
    assert await count_of(stack, "revision") == looks + 1
    await stack.is_well()


async def test_a_writer_that_does_not_find_the_column_under_its_name_stores_on(stack: Stack) -> None:
    """As one of the version before, once the database is migrated: it counts no more looks either, so that the one
    after it finds the ledger as it was."""
    writer = await stack.writer()
    await fill(stack, 3)
    await eventually(lambda: is_copied(stack, stored=3))
    await stack.execute("ALTER TABLE stream_ledger RENAME COLUMN revision TO something_else")
    await writer.says('column "revision" does not exist')
    revision = await count_of(stack, "revision")
    await fill(stack, 5, "later")
    await stack.has_rows("ts_measure", 8)
    assert writer.get("/readyz")[0] == 200
    assert await count_of(stack, "revision") == revision
