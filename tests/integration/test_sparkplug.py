"""Sparkplug: what a BIRTH says is known to every writer, also after a restart, and what comes before it waits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.shapes import shapes
from tests.support.stack import Stack
from tests.support.waiting import eventually

BIRTH, DATA = (
    (shape.topic, shape.payload)
    for shape in shapes()
    if shape.topic.startswith("spBv1.0/brewery/D") and "fv3" in shape.topic
)
KEY = "spBv1.0/brewery/edge1/fv3"
FAR = {"INGEST_MAX_FUTURE_S": 315_360_000}
VARIABLES = {"INGEST_MAPPINGS": "sparkplug?tenant=acme", "INGEST_CLAIM_IDLE_MS": 500, **FAR}
RECEIVED_MS = 1_700_000_000_000  # of what `Stack.append` adds
BORN = 4  # rows that the BIRTH makes


async def points(stack: Stack) -> list[str]:
    rows = await stack.fetch("SELECT DISTINCT point_id FROM ts_measure ORDER BY 1")
    return [row["point_id"] for row in rows]


async def births(stack: Stack) -> list[Any]:
    return await stack.fetch("SELECT tenant_id, device_key, born_at, aliases::text FROM sparkplug_birth")


async def is_settled(stack: Stack) -> bool:
    return await stack.backlog() == 0


async def is_stored(stack: Stack) -> bool:
    """What follows the BIRTH: its rows, or a dead letter."""
    return await stack.count("ts_measure") > BORN or await stack.count("ingest_errors") > 0


async def test_a_writer_that_starts_later_reads_what_a_birth_said(stack: Stack) -> None:
    """Published, stored by one writer; what follows by another one, which has never seen it."""
    await stack.receiver(**VARIABLES)
    first = await stack.writer(**VARIABLES)
    await stack.publish(BIRTH)
    await eventually(lambda: births(stack))
    await stack.has_rows("ts_measure", BORN)
    names = await points(stack)
    assert [tuple(row)[:2] for row in await births(stack)] == [("acme", KEY)]
    assert first.stop() == 0
    second = await stack.writer(**VARIABLES)
    await stack.publish(DATA)
    await eventually(lambda: is_stored(stack))
    assert await stack.count("ingest_errors") == 0, await stack.fetch("SELECT reason FROM ingest_errors")
    assert await points(stack) == names, "by their names"
    assert "wait for the BIRTH" not in second.log, "it is read from the table at once"


@pytest.mark.long
async def test_what_comes_before_its_birth_waits_for_it(stack: Stack) -> None:
    writer = await stack.writer(**VARIABLES | {"INGEST_CLAIM_IDLE_MS": 5_000})
    await stack.append(*DATA)
    await writer.says(f"1 Sparkplug messages wait for the BIRTH that says what they mean, of '{KEY}'")
    assert "failed" not in writer.log
    assert writer.metric("ingest_deferred_total") == 0, "it is no bug"
    await stack.append(*BIRTH)
    await eventually(lambda: is_settled(stack))
    assert await stack.count("ingest_errors") == 0


async def test_without_a_birth_it_is_a_dead_letter_which_a_replay_repairs(stack: Stack) -> None:
    await stack.writer(**VARIABLES)
    await stack.append(*DATA)
    await stack.has_rows("ingest_errors", 1)
    (letter,) = await stack.fetch("SELECT tenant_id, reason, error_class, deliveries FROM ingest_errors")
    assert letter["error_class"] == "unknown_alias"
    assert letter["reason"].startswith("unknown_alias: ")
    assert (letter["tenant_id"], letter["deliveries"]) == ("acme", 2)
    await stack.append(*BIRTH)
    await stack.has_rows("ts_measure", BORN)
    replay = await stack.command("dlq", "replay", "--all", **VARIABLES)
    assert replay.returncode == 0, replay.stderr
    await eventually(lambda: is_settled(stack))
    assert await stack.count("ts_measure") > BORN
    assert await stack.count("ingest_errors") == 1, "the one that was replayed"


async def test_a_birth_that_a_killed_writer_had_read(stack: Stack) -> None:
    """Nothing of it is committed: another writer claims it, and reads with it what follows."""
    async with stack.locked("ts_measure"):
        first = await stack.writer(**VARIABLES)
        await stack.append(*BIRTH)
        await eventually(stack.waits_for_a_lock, "the first one has read it")
        first.kill()
        await stack.append(*DATA)
        await stack.writer(**VARIABLES)
    await eventually(lambda: is_settled(stack))
    assert await stack.count("ingest_errors") == 0, await stack.fetch("SELECT reason FROM ingest_errors")
    assert await stack.count("ts_measure") > BORN


async def test_an_old_birth_that_comes_again_replaces_no_newer_one(stack: Stack) -> None:
    """It is redelivered with the time at which it was first received."""
    writer = await stack.writer(**VARIABLES)
    await stack.append(*BIRTH, received_at=1_795_881_700_000)
    await eventually(lambda: births(stack))
    (born,) = await births(stack)
    assert born["born_at"] == datetime.fromtimestamp(1_795_881_700, UTC), "when it was received"
    await stack.execute("UPDATE sparkplug_birth SET born_at = born_at + interval '1 hour', aliases = '[]'")
    await stack.append(*BIRTH, received_at=1_795_881_700_000)
    await eventually(lambda: is_settled(stack))
    assert (await births(stack))[0]["aliases"] == "[]"
    assert writer.stop() == 0


async def test_a_later_birth_that_another_writer_has_stored_counts(stack: Stack) -> None:
    """This one has decoded by the earlier one already."""
    writer = await stack.writer(**VARIABLES)
    await stack.append(*BIRTH)
    await stack.append(*DATA)
    await eventually(lambda: is_stored(stack))
    await stack.execute(
        "UPDATE sparkplug_birth SET born_at = born_at + interval '1 hour', "
        """aliases = replace(aliases::text, '"Temp"', '"Pressure"')::jsonb"""
    )
    await stack.execute("DELETE FROM ts_measure")
    await stack.append(*DATA, received_at=RECEIVED_MS + 60_000)
    await eventually(lambda: is_settled(stack))
    assert "Temp" in await points(stack), "it was received before that BIRTH"
    await stack.execute("DELETE FROM ts_measure")
    await stack.append(*DATA, received_at=RECEIVED_MS + 7_200_000)
    await eventually(lambda: is_settled(stack))
    assert "Pressure" in await points(stack)
    assert "Temp" not in await points(stack)
    assert writer.stop() == 0


async def test_its_group_and_node_share_a_shard(stack: Stack) -> None:
    """So that a BIRTH is before what follows in one stream."""
    await stack.receiver(**VARIABLES, INGEST_SHARDS=8)
    await stack.publish(BIRTH, DATA)

    async def filled() -> list[int]:
        return [shard for shard in range(8) if await stack.backlog(shard)]

    await eventually(filled)
    (shard,) = await filled()
    await eventually(lambda: _holds(stack, shard, 2))


async def _holds(stack: Stack, shard: int, count: int) -> bool:
    return await stack.backlog(shard) == count


@pytest.mark.parametrize("privilege", ["SELECT", "INSERT", "UPDATE"])
async def test_the_writers_role_needs_no_more(stack: Stack, privilege: str) -> None:
    granted = "SELECT has_table_privilege('traksense_writer', 'sparkplug_birth', $1)"
    assert await stack.fetchval(granted, privilege)
    assert not await stack.fetchval(granted, "DELETE")
    assert await stack.fetchval("SELECT relrowsecurity FROM pg_class WHERE relname = 'sparkplug_birth'")
