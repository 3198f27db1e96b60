"""Poison never blocks: what it costs is counted in transactions, and no healthy entry is held up or given up for it."""

from __future__ import annotations

import asyncio
from math import log2
from typing import Any

import asyncpg
import pytest

from tests.integration.test_crash_points import lane_of
from tests.support.budget import few_of
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams import client as streams
from traksense_ingest.shared.streams.keys import GROUP, key_of
from traksense_ingest.writer.decode.mapped.v1 import V1
from traksense_ingest.writer.decode.topic import Topic
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.read.consumer import Consumer

CURSE = """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.device_id LIKE 'cursed%' THEN RAISE EXCEPTION 'a bug' USING ERRCODE = 'XX000'; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER fail BEFORE INSERT ON ts_measure FOR EACH ROW EXECUTE FUNCTION fail()"""


async def execute(stack: Stack, script: str) -> None:
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute(script)
    await connection.close()


async def tries(stack: Stack) -> list[tuple[bytes, int]]:
    """The id and delivery count of what is pending."""
    pending: Any = await stack.redis.xpending_range(key_of(0), GROUP, "-", "+", 1000)
    return [(entry["message_id"], entry["times_delivered"]) for entry in pending]


@pytest.mark.parametrize("bad", few_of([32, 1, 64], 2))
async def test_poison_costs_transactions_by_its_number(stack: Stack, bad: int) -> None:
    """Transactions of every kind, by a sequence: it counts also what is rolled back."""
    size = 128
    await execute(stack, "CREATE SEQUENCE begun; ALTER TABLE ts_measure ADD CONSTRAINT sane CHECK (v_num < 1000)")
    await execute(
        stack,
        """CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN PERFORM nextval('begun'); RETURN NULL; END $$;
           CREATE TRIGGER count_it BEFORE INSERT ON ts_measure FOR EACH STATEMENT EXECUTE FUNCTION count_it()""",
    )
    step = size // bad
    for number in range(size):
        value = 5000 if number % step == step - 1 else 1
        await stack.append(*telem(f"dev{number}", points=[{"name": "p", "v": value}]))
    writer = await stack.writer(INGEST_BATCH_MS=100)
    await stack.has_rows("ingest_errors", bad)
    assert await stack.count("ts_measure") == size - bad
    copies = await stack.fetchval("SELECT last_value FROM begun")
    batches = 2 + log2(size)  # reads grow from 16 on, on two lanes
    canary = 3  # a COPY, one into the temporary table, and the INSERT from there
    assert copies <= batches + 2 * bad * (log2(size / bad) + 2) + bad * canary, "COPYs"
    committed = writer.metric("ingest_commit_seconds_count")
    assert committed <= batches + bad * (log2(size / bad) + 3), "dead letters included"


@pytest.mark.long
async def test_others_flow_while_an_entry_is_retried(stack: Stack) -> None:
    await execute(stack, CURSE)
    await stack.append(*telem("cursed"))
    writer = await stack.writer(INGEST_CLAIM_IDLE_MS=300, INGEST_MAX_DELIVERIES=15)
    for number in (1, 2):
        await writer.says(f"failed at try {number} and stay pending")
        for second in range(100):
            await stack.append(*telem(f"fine{number}", second))
        await eventually(lambda number=number: _rows_are(stack, number * 100))  # type: ignore[misc]
        assert await stack.count("ingest_errors") == 0, "it is retried still"
    await stack.has_rows("ingest_errors", 1)
    (row,) = await stack.fetch("SELECT * FROM ingest_errors")
    assert (row["error_class"], row["deliveries"]) == ("max_deliveries", 15)
    assert await stack.count("ts_measure") == 200


async def _rows_are(stack: Stack, count: int) -> bool:
    return await stack.count("ts_measure") == count


@pytest.mark.long
async def test_many_that_fail_are_each_retried_and_given_up(stack: Stack) -> None:
    await execute(stack, CURSE)
    for number in range(40):
        await stack.append(*telem(f"{'cursed' if number % 2 else 'fine'}{number}"))
    writer = await stack.writer(INGEST_CLAIM_IDLE_MS=300, INGEST_MAX_DELIVERIES=2)
    await stack.has_rows("ingest_errors", 20)
    rows = await stack.fetch("SELECT error_class, deliveries FROM ingest_errors")
    assert {tuple(row) for row in rows} == {("max_deliveries", 2)}
    assert await stack.count("ts_measure") == 20
    await writer.counts("ingest_deferred_total", 20)


async def test_restarts_and_claims_count_nothing_against_an_entry(stack: Stack) -> None:
    """Not even with as many of them as there are tries."""
    for second in range(50):
        await stack.append(*telem(second=second))
    await stack.append("traksense/t/s/dev/telem", b"poison")
    blocker = await asyncpg.connect(stack.database_url)
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE ts_measure")
        for restart in range(4):
            writer = await stack.writer(INGEST_CLAIM_IDLE_MS=100, INGEST_MAX_DELIVERIES=2)
            claimed = 51 if restart else 0
            await eventually(lambda writer=writer, claimed=claimed: _has_all(stack, writer, claimed))  # type: ignore[misc]
            writer.kill()
        assert {count for _, count in await tries(stack)} == {1}
    await blocker.close()
    await stack.writer(INGEST_CLAIM_IDLE_MS=100, INGEST_MAX_DELIVERIES=2)
    await stack.has_rows("ts_measure", 50)
    (row,) = await stack.fetch("SELECT error_class, deliveries FROM ingest_errors")
    assert tuple(row) == ("parse_error", 1)


async def _has_all(stack: Stack, writer: Any, claimed: int) -> bool:
    """Whether a writer has taken something of what the last one left, or of what is new."""
    if claimed:
        return bool(writer.metric("ingest_redeliveries_total"))
    return bool(await stack.pending())


async def test_connections_that_drop_use_up_no_tries(stack: Stack) -> None:
    """After an error a lane reads its own pending entries again, but not those that wait for their next try."""
    await execute(stack, CURSE)
    for second in range(20):
        await stack.append(*telem("cursed", second))
    writer = await stack.writer()
    await eventually(lambda: _all_failed(stack, 20))
    for number in range(6):
        await stack.redis_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await stack.append(*telem("fine", number))
        await eventually(lambda number=number: _rows_are(stack, number + 1))  # type: ignore[misc]
    await eventually(lambda: _all_failed(stack, 20), "no try more, once the last fine one is settled")
    await writer.counts("ingest_deferred_total", 20)
    assert await stack.count("ingest_errors") == 0


async def _all_failed(stack: Stack, count: int) -> bool:
    return await stack.pending() == count and {deliveries for _, deliveries in await tries(stack)} == {2}


async def test_entries_behind_those_that_wait_are_read_again(stack: Stack) -> None:
    ids = [(await stack.append(*telem(second=second))).decode() for second in range(10)]

    async def read_again(group: Consumer, idle_ms: int) -> list[str]:
        after: str | None = ""
        found = []
        while after is not None:
            after, entries = await group.read_pending(after, 2, idle_ms)
            found += [entry.id for entry in entries]
        return found

    async with streams.connect(stack.redis_server.url) as client:
        group = Consumer(client, 0, "lane")
        entries = await group.read(10, block=False) or await group.read(10, block=False)
        await group.nack(entries[:5] + entries[6:7])
        assert await read_again(group, 60_000) == [ids[5], *ids[7:]]
        assert await read_again(group, 0) == ids


@pytest.fixture
def broken_decoder(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The devices whose telemetry the decoder stumbles over; "" for all."""
    devices: set[str] = set()
    good = V1._telem

    def stumbling(v1: V1, entry: Entry, topic: Topic, document: Any) -> Any:
        if topic.device in devices or "" in devices:
            raise RuntimeError("a bug")
        return good(v1, entry, topic, document)

    monkeypatch.setattr(V1, "_telem", stumbling)
    return devices


async def test_a_bug_in_decoding_one_message_is_given_up(stack: Stack, broken_decoder: set[str]) -> None:
    broken_decoder.add("cursed")
    await stack.append(*telem("cursed"))
    stop = asyncio.Event()
    async with lane_of(stack, "lane", stop) as lane:
        running = asyncio.create_task(lane.run(stop))
        await stack.has_rows("ingest_errors", 1)
        stop.set()
        await running
    (row,) = await stack.fetch("SELECT error_class, deliveries FROM ingest_errors")
    assert tuple(row) == ("max_deliveries", 5)


async def test_a_bug_in_decoding_all_messages_condemns_none(stack: Stack, broken_decoder: set[str]) -> None:
    """Not even with as many claims as there are tries. Other kinds are stored meanwhile."""
    broken_decoder.add("")
    for number in range(20):
        await stack.append(*telem(f"dev{number}"))
        await stack.append(f"traksense/t/s/dev{number}/ack", b'{"schema":"v1","cmd_id":"c","ok":true}')
    stop = asyncio.Event()
    async with lane_of(stack, "lane", stop) as lane:
        component = lane._context.components["messages"]
        running = asyncio.create_task(lane.run(stop))
        await eventually(lambda: _acks_are(stack, 20))
        for _ in range(3):
            await stack.append(*telem("more"))
            await eventually(lambda: not component.is_up)
        assert {count for _, count in await tries(stack)} <= {1}
        assert await stack.count("ingest_errors") == 0
        broken_decoder.clear()
        await stack.has_rows("ts_measure", 21)
        assert component.is_up
        stop.set()
        await running
    assert await stack.count("ingest_errors") == 0


async def _acks_are(stack: Stack, count: int) -> bool:
    return await stack.count("cmd_ack") == count
