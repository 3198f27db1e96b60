"""Keys and entries that somebody made by hand: of another type, with other fields, ids or names."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.mistakes import ACK, LEDGER, MESSAGES, STREAM, is_ready, ledger_agrees
from tests.support.stack import Stack, telem
from tests.support.streams import is_empty
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import GROUP, key_of
from traksense_ingest.shared.streams.snapshot import read_snapshot


async def overwrite(stack: Stack, key: str, command: str) -> None:
    async with stack.redis.pipeline(transaction=True) as both:  # in between, a writer would make the stream again
        both.delete(key)
        both.execute_command(command, key, "oops")
        await both.execute()


@pytest.mark.parametrize("command", ["SET", "LPUSH"])
@pytest.mark.parametrize("when", ["at start", "later"])
async def test_a_stream_of_another_type(stack: Stack, command: str, when: str) -> None:
    """Said once by each service; nothing is acknowledged, nothing dead-lettered; over when the key is gone."""
    if when == "at start":
        await overwrite(stack, STREAM, command)
    receiver, writer = stack.start("receiver"), stack.start("writer")
    await receiver.says("subscribed")
    if when == "later":
        await writer.ready()
        await stack.publish(telem("before"))
        await stack.has_rows("ts_measure", 1)
        await overwrite(stack, STREAM, command)
    await stack.publish(*MESSAGES[:50])
    for process in (receiver, writer):
        await process.says("redis is unreachable, waiting for it: ingest:{0}: WRONGTYPE")
        await eventually(lambda process=process: process.get("/readyz")[0] == 503)  # type: ignore[misc]
        await eventually(lambda process=process: process.metric("ingest_errors_total", reason="redis_error") > 3)  # type: ignore[misc]
        assert process.log.count("redis is unreachable") == 1
        assert "Traceback" not in process.log
    await receiver.counts("ingest_appended_messages_total", when == "later")
    await stack.redis.delete(STREAM)
    await stack.has_rows("ts_measure", 50 + (when == "later"))
    await eventually(lambda: is_ready(receiver, writer))
    assert await stack.count("ingest_errors") == 0


async def test_a_ledger_of_another_type(stack: Stack) -> None:
    """Rows are committed, entries stay until they can be counted."""
    await overwrite(stack, LEDGER, "SET")
    for message in MESSAGES[:10]:
        await stack.append(*message)
    writer = stack.start("writer")
    await writer.says("ingest:{0}:ledger: WRONGTYPE")
    assert await stack.backlog() == 10
    assert writer.log.count("redis is unreachable") == 1
    await stack.redis.delete(LEDGER)
    await stack.has_rows("ts_measure", 10)
    await ledger_agrees(stack)
    assert await stack.redis.hget(LEDGER, "stored") == b"10"


@pytest.mark.parametrize(("before", "after"), [(1_000, 10), (10, 1_000)], ids=["lowered", "raised"])
async def test_a_limit_that_changes_between_commit_and_settling(stack: Stack, before: int, after: int) -> None:
    """The entry is judged twice, and each verdict leaves what it leaves. It is settled, and counted, once."""
    await overwrite(stack, LEDGER, "SET")  # what can't be counted is committed and not settled
    await stack.append(*MESSAGES[0])
    first = stack.start("writer", INGEST_MAX_PAYLOAD_BYTES=before)
    await eventually(lambda: stack.count("ts_measure" if before > after else "ingest_errors"))
    first.kill()
    assert await stack.backlog() == 1
    await stack.redis.delete(LEDGER)
    await stack.writer(INGEST_MAX_PAYLOAD_BYTES=after, INGEST_CLAIM_IDLE_MS=100)
    await eventually(lambda: is_empty(stack))
    assert (await stack.count("ts_measure"), await stack.count("ingest_errors")) == (1, 1)
    shard = await read_snapshot(stack.clients, 0)
    assert (shard.stored, shard.dead_lettered, shard.missing) == (before < after, before > after, 0)


TOPIC, PAYLOAD = MESSAGES[0]
BY_HAND: dict[str, dict[Any, Any]] = {
    "foreign fields": {"hello": "world"},
    "one empty field": {"": ""},
    "no topic": {"payload": PAYLOAD, "received_at": 1},
    "no payload": {"topic": "traksense/t/s/no-payload/telem", "received_at": 1},
    "fields in another case": {"Topic": TOPIC, "Payload": PAYLOAD},
    "many fields": {f"f{number}": "x" for number in range(20_000)},
    "a topic of a megabyte": {"topic": "x" * 1_000_000, "payload": PAYLOAD},
}
STORED_BY_HAND: dict[str, dict[Any, Any]] = {
    "another order": {"received_at": 1, "payload": PAYLOAD, "topic": "traksense/t/s/order/telem"},
    "one field more": {"topic": "traksense/t/s/more/telem", "payload": PAYLOAD, "received_at": 1, "note": "x"},
    "no received_at": {"topic": "traksense/t/s/none/telem", "payload": PAYLOAD},
    **{
        f"received_at {number}": {
            "topic": f"traksense/t/s/at{number}/telem",
            "payload": PAYLOAD,
            "received_at": received_at,
        }
        for number, received_at in enumerate(["soon", "", "-1", "-" + "9" * 30, "9" * 30, "9" * 5000, b"\xff", "1e3"])
    },
}


async def add(stack: Stack, fields: dict[Any, Any]) -> str:
    id_: Any = await stack.redis.xadd(STREAM, fields)
    return str(id_.decode())


async def test_entries_that_somebody_added_by_hand(stack: Stack) -> None:
    await stack.receiver()
    writer = await stack.writer()
    publishing = asyncio.create_task(stack.publish(*MESSAGES))
    await eventually(lambda: stack.count("ts_measure"))
    ids = [await add(stack, fields) for fields in BY_HAND.values()]
    for fields in STORED_BY_HAND.values():
        await add(stack, fields)
    await publishing
    await stack.has_rows("ts_measure", len(MESSAGES) + len(STORED_BY_HAND))
    letters = await stack.fetch("SELECT entry_id, error_class FROM ingest_errors")
    assert sorted(row["entry_id"] for row in letters) == sorted(ids)
    assert {row["error_class"] for row in letters} == {"invalid_topic", "parse_error"}
    seen = await stack.fetch("SELECT first_seen, last_seen, now() FROM device")
    assert all(first.year >= 2000 and last <= now for first, last, now in seen)
    assert "Traceback" not in writer.log
    assert writer.negative_samples() == []


async def test_an_id_far_in_the_future(stack: Stack) -> None:
    """Later ids go on from there: what is stored is right, and ages are never negative."""
    receiver, writer = await stack.receiver(), await stack.writer()
    await stack.redis.xadd(STREAM, {"topic": "traksense/t/s/dev/ack", "payload": ACK}, id="9999999999999-1")
    await stack.publish(*MESSAGES[:100], ("traksense/t/s/later/ack", ACK))
    await stack.has_rows("ts_measure", 100)
    first, second = [row["created_at"] for row in await stack.fetch("SELECT created_at FROM cmd_ack ORDER BY 1")]
    assert (first.year, first < second) == (2286, True)
    assert await stack.fetchval("SELECT max(last_seen) <= now() FROM device")
    assert receiver.negative_samples() == writer.negative_samples() == []


async def test_the_last_id_that_there_is(stack: Stack) -> None:
    """Redis takes no more entries then; the receiver says so, until the stream, drained, is deleted."""
    receiver, writer = await stack.receiver(), await stack.writer()
    last = "18446744073709551615-18446744073709551615"
    await stack.redis.xadd(STREAM, {"topic": "traksense/t/s/dev/ack", "payload": ACK}, id=last)
    await eventually(lambda: stack.count("cmd_ack"))
    assert (await stack.fetchval("SELECT created_at FROM cmd_ack")) == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    await stack.publish(*MESSAGES[:50])
    await receiver.says(
        "redis is unreachable, waiting for it: ingest:{0}: The stream has exhausted the last possible ID"
    )
    assert receiver.get("/readyz")[0] == 503
    assert writer.negative_samples() == []
    await eventually(lambda: is_empty(stack))
    await stack.redis.delete(STREAM)
    await stack.has_rows("ts_measure", 50)


async def test_a_consumer_whose_name_is_no_text(stack: Stack) -> None:
    await stack.redis.xgroup_create(key_of(0), GROUP, id="0", mkstream=True)
    await stack.redis.xgroup_createconsumer(key_of(0), GROUP, b"\xff\xfe")
    await stack.append(*telem())
    await stack.writer()
    await stack.has_rows("ts_measure", 1)
    assert "\\xff\\xfe" in (await stack.status()).stdout
