"""What operators do to the stream and to the tables while both services run: nothing is lost, nothing gets stuck."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from ops.migrate import migrate
from shared.database import migrations
from shared.shard import read_shard
from shared.stream import GROUP, key_of, ledger_of
from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually

STREAM, LEDGER = key_of(0), ledger_of(0)
MESSAGES = [telem(f"dev{number % 10}", number) for number in range(3000)]
ACK = json.dumps({"schema": "v1", "cmd_id": "c", "ok": True}).encode()

Mistake = Callable[[Stack, Process, Process], Awaitable[None]]


async def nothing_is_lost(stack: Stack, mistake: Mistake) -> tuple[Process, Process]:
    """Make a mistake while messages come in and are stored; returns receiver and writer."""
    receiver, writer = await stack.receiver(), await stack.writer(INGEST_CLAIM_IDLE_MS=500)
    publishing = asyncio.create_task(stack.publish(*MESSAGES))
    await eventually(lambda: stack.count("ts_measure"), "it flows")
    await mistake(stack, receiver, writer)
    await publishing
    await stack.has_rows("ts_measure", len(MESSAGES))
    await eventually(lambda: is_ready(receiver, writer))
    assert await stack.count("ingest_errors") == 0
    for process in (receiver, writer):
        assert "Traceback" not in process.log
        assert process.negative_samples() == []
    return receiver, writer


def is_ready(*processes: Process) -> bool:
    return all(process.get("/readyz")[0] == 200 for process in processes)


async def ledger_agrees(stack: Stack) -> None:
    shard = await read_shard(stack.redis, 0)
    assert shard.missing == 0, shard


async def repeat(what: Callable[[], Awaitable[object]], times: int = 30) -> None:
    for _ in range(times):
        await what()


async def test_the_group_is_destroyed_again_and_again(stack: Stack) -> None:
    async def mistake(stack: Stack, receiver: Process, writer: Process) -> None:
        await repeat(lambda: stack.redis.xgroup_destroy(STREAM, GROUP))

    await nothing_is_lost(stack, mistake)
    await ledger_agrees(stack)


async def test_the_stream_is_deleted_under_load(stack: Stack) -> None:
    """What was in it is gone with it; what came later is not."""
    receiver, writer = await stack.receiver(), await stack.writer()
    publishing = asyncio.create_task(stack.publish(*MESSAGES))
    await eventually(lambda: stack.count("ts_measure"))
    deleted = 0
    for _ in range(10):
        async with stack.redis.pipeline(transaction=True) as both:
            both.xlen(STREAM)
            both.delete(STREAM)
            deleted += (await both.execute())[0]
    await publishing
    await eventually(lambda: receiver.metric("ingest_appended_messages_total") == len(MESSAGES))
    await eventually(lambda: _is_empty(stack))
    assert len(MESSAGES) - deleted <= await stack.count("ts_measure") <= len(MESSAGES)
    assert "Traceback" not in receiver.log + writer.log
    assert await stack.count("ingest_errors") == 0


async def _is_empty(stack: Stack) -> bool:
    return not await stack.backlog() and not await stack.pending()


@pytest.mark.parametrize("by_hand", ["XACK", "XGROUP SETID"])
async def test_entries_that_are_taken_from_the_group(stack: Stack, by_hand: str) -> None:
    """Acknowledged or skipped by hand but still in the stream: they are not left there for ever."""
    await stack.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    ids = [await stack.append(*message) for message in MESSAGES[:50]]
    if by_hand == "XACK":
        await stack.redis.xreadgroup(GROUP, "somebody", {STREAM: ">"})
        await stack.redis.xack(STREAM, GROUP, *ids[:20])
    else:
        await stack.redis.xgroup_setid(STREAM, GROUP, "$")
    writer = await stack.writer(INGEST_CLAIM_IDLE_MS=500)
    await stack.has_rows("ts_measure", 50)
    await writer.says("entries that nobody held are delivered again")
    assert await stack.count("ingest_errors") == 0
    await ledger_agrees(stack)


async def test_scripts_are_flushed_and_connections_killed(stack: Stack) -> None:
    async def mistake(stack: Stack, receiver: Process, writer: Process) -> None:
        await repeat(stack.redis.script_flush)
        await repeat(lambda: stack.redis_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), 5)

    await nothing_is_lost(stack, mistake)


async def test_redis_has_no_memory_for_a_while(stack: Stack) -> None:
    """The receiver waits; the writer goes on, and that is what makes room."""

    async def mistake(stack: Stack, receiver: Process, writer: Process) -> None:
        await stack.redis.config_set("maxmemory", 1)
        await stack.publish(MESSAGES[0])  # though all the others may be in the stream
        await receiver.says("redis is away, waiting for it: ingest:{0}: command not allowed when used memory")
        await eventually(lambda: _is_empty(stack), "the writer drains the stream")
        assert receiver.get("/readyz")[0] == 503
        await stack.redis.config_set("maxmemory", 0)

    _, writer = await nothing_is_lost(stack, mistake)
    assert "redis is away" not in writer.log
    await ledger_agrees(stack)


async def test_redis_becomes_a_replica_for_a_while(stack: Stack) -> None:
    async def mistake(stack: Stack, receiver: Process, writer: Process) -> None:
        await stack.redis_command("REPLICAOF", "127.0.0.1", "1")
        await stack.publish(MESSAGES[0])  # though all the others may be in the stream
        for process in (receiver, writer):
            await process.says("redis is away, waiting for it: ")
            await eventually(lambda process=process: process.get("/readyz")[0] == 503)  # type: ignore[misc]
        await stack.redis_command("REPLICAOF", "NO", "ONE")

    await nothing_is_lost(stack, mistake)


async def test_redis_comes_back_empty_while_a_writer_has_entries_in_hand(stack: Stack) -> None:
    await stack.receiver()
    writer = await stack.writer()
    blocker = await asyncpg.connect(stack.database_url)
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE ts_measure")
        async with stack.redis.pipeline(transaction=True) as all_at_once:
            for topic, payload in MESSAGES[:10]:
                all_at_once.xadd(STREAM, {"topic": topic, "payload": payload})
            await all_at_once.execute()
        await eventually(lambda: _somebody_waits(stack), "one batch is being stored")
        stack.redis_server.kill()
        shutil.rmtree(stack.redis_server.directory / "appendonlydir")
        stack.redis_server.start()
    await blocker.close()
    await stack.has_rows("ts_measure", 10)
    await stack.publish(*MESSAGES[10:30])
    await stack.has_rows("ts_measure", 30)
    assert "Traceback" not in writer.log


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
        await process.says("redis is away, waiting for it: ingest:{0}: WRONGTYPE")
        await eventually(lambda process=process: process.get("/readyz")[0] == 503)  # type: ignore[misc]
        await eventually(lambda process=process: process.metric("ingest_errors_total", reason="redis_error") > 3)  # type: ignore[misc]
        assert process.log.count("redis is away") == 1
        assert "Traceback" not in process.log
    assert receiver.metric("ingest_appended_messages_total") == (when == "later")
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
    assert writer.log.count("redis is away") == 1
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
    await eventually(lambda: _is_empty(stack))
    assert (await stack.count("ts_measure"), await stack.count("ingest_errors")) == (1, 1)
    shard = await read_shard(stack.redis, 0)
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
    await receiver.says("redis is away, waiting for it: ingest:{0}: The stream has exhausted the last possible ID")
    assert receiver.get("/readyz")[0] == 503
    assert writer.negative_samples() == []
    await eventually(lambda: _is_empty(stack))
    await stack.redis.delete(STREAM)
    await stack.has_rows("ts_measure", 50)


RUN_AGAIN = [5, 7]  # the migrations that may be, by their first lines


async def test_migrations_run_while_writers_write(stack: Stack) -> None:
    """Each is applied by one of five processes that begin at once, under load, and again and again while that lasts."""

    async def mistake(stack: Stack, receiver: Process, writer: Process) -> None:
        assert await stack.count("ts_measure") < len(MESSAGES)
        while await stack.count("ts_measure") < len(MESSAGES):
            await stack.execute(f"DELETE FROM schema_migrations WHERE version IN ({', '.join(map(str, RUN_AGAIN))})")
            applied = await asyncio.gather(*(migrate(stack.database_url) for _ in range(5)))
            assert sorted(migration.version for some in applied for migration in some) == RUN_AGAIN

    assert all(
        "may be run again" in migration.sql.lower() for migration in migrations() if migration.version in RUN_AGAIN
    )
    await nothing_is_lost(stack, mistake)
    assert await stack.fetchval("SELECT count(*) FROM schema_migrations") == len(migrations())


async def test_a_database_one_version_behind_is_refused_by_a_writer_that_starts(stack: Stack) -> None:
    running = await stack.writer()
    newest = migrations()[-1].version
    await stack.execute(f"DELETE FROM schema_migrations WHERE version = {newest}")
    refused = stack.start("writer")
    assert refused.wait() == 2
    assert refused.log.splitlines()[-1].startswith(
        f"DATABASE_URL: the database is at version {newest - 1} of the schema, version {newest} is needed"
    )
    await stack.append(*telem())
    await stack.has_rows("ts_measure", 1)
    assert running.popen.poll() is None


async def test_the_table_is_altered_while_writers_write(stack: Stack) -> None:
    """The writer waits for the lock; columns of the operator's own, and another order of ours, do not matter."""

    async def mistake(stack: Stack, receiver: Process, writer: Process) -> None:
        connection = await asyncpg.connect(stack.database_url)
        async with connection.transaction():
            await connection.execute("ALTER TABLE ts_measure ADD COLUMN note text DEFAULT md5(random()::text)")
            await connection.execute("ALTER TABLE ts_measure DROP COLUMN unit CASCADE, ADD COLUMN unit text")
            await connection.execute("CREATE INDEX ON ts_measure (ts)")
            await eventually(lambda: _somebody_waits(stack), "a writer waits for the lock")
        await connection.close()

    await nothing_is_lost(stack, mistake)
    points = [{"name": "p0", "v": 1}, {"name": "new", "v": True, "u": "°C"}]
    topic, payload = telem("dev0", 0, points)
    await stack.append(topic, json.dumps(json.loads(payload) | {"meta": {"a": 1}}).encode())
    await stack.has_rows("ts_measure", len(MESSAGES) + 1)
    (row,) = await stack.fetch("SELECT * FROM ts_measure WHERE point_id = 'new'")
    assert (row["v_bool"], row["unit"], json.loads(row["meta"])) == (True, "°C", {"a": 1})


async def _somebody_waits(stack: Stack) -> bool:
    return bool(await stack.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def test_a_group_is_made_also_while_redis_has_no_memory(stack: Stack) -> None:
    """Else nobody could make room."""
    for second in range(50):
        await stack.append(*telem(second=second))
    await stack.redis.config_set("maxmemory", 1)
    await stack.writer()
    await stack.has_rows("ts_measure", 50)
    assert (await read_shard(stack.redis, 0)).missing == 0


async def test_a_consumer_whose_name_is_no_text(stack: Stack) -> None:
    await stack.redis.xgroup_create(key_of(0), GROUP, id="0", mkstream=True)
    await stack.redis.xgroup_createconsumer(key_of(0), GROUP, b"\xff\xfe")
    await stack.append(*telem())
    await stack.writer()
    await stack.has_rows("ts_measure", 1)
    assert "\\xff\\xfe" in (await stack.status()).stdout
