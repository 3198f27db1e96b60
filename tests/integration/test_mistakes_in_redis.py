"""What operators do to Redis, the stream and its group while both services run: nothing is lost or stuck."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from tests.support.mistakes import MESSAGES, STREAM, ledger_agrees, nothing_is_lost
from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.streams import is_empty
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import GROUP
from traksense_ingest.shared.streams.snapshot import read_snapshot


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
    await eventually(lambda: is_empty(stack))
    assert len(MESSAGES) - deleted <= await stack.count("ts_measure") <= len(MESSAGES)
    assert "Traceback" not in receiver.log + writer.log
    assert await stack.count("ingest_errors") == 0


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
    await writer.says("entries that no consumer held are delivered again")
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
        await receiver.says("redis is unreachable, waiting for it: ingest:{0}: command not allowed when used memory")
        await eventually(lambda: is_empty(stack), "the writer drains the stream")
        assert receiver.get("/readyz")[0] == 503
        await stack.redis.config_set("maxmemory", 0)

    _, writer = await nothing_is_lost(stack, mistake)
    assert "redis is unreachable" not in writer.log
    await ledger_agrees(stack)


async def test_redis_becomes_a_replica_for_a_while(stack: Stack) -> None:
    async def mistake(stack: Stack, receiver: Process, writer: Process) -> None:
        await stack.redis_command("REPLICAOF", "127.0.0.1", "1")
        await stack.publish(MESSAGES[0])  # though all the others may be in the stream
        for process in (receiver, writer):
            await process.says("redis is unreachable, waiting for it: ")
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
        await eventually(stack.waits_for_a_lock, "one batch is being stored")
        stack.redis_server.kill()
        shutil.rmtree(stack.redis_server.directory / "appendonlydir")
        stack.redis_server.start()
    await blocker.close()
    await stack.has_rows("ts_measure", 10)
    await stack.publish(*MESSAGES[10:30])
    await stack.has_rows("ts_measure", 30)
    assert "Traceback" not in writer.log


async def test_a_group_is_made_also_while_redis_has_no_memory(stack: Stack) -> None:
    """Else nobody could make room."""
    for second in range(50):
        await stack.append(*telem(second=second))
    await stack.redis.config_set("maxmemory", 1)
    await stack.writer()
    await stack.has_rows("ts_measure", 50)
    assert (await read_snapshot(stack.clients, 0)).missing == 0
