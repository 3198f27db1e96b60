"""ACL users at a real Redis: what docs/security.md grants is enough, and nothing else is allowed."""

from __future__ import annotations

import shlex
import signal
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from tests.support.redis_users import LEDGER, STREAM, acl, as_user, refusals
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.heartbeat import KEY
from traksense_ingest.shared.streams.keys import GROUP

USERS = ("receiver", "writer", "status")

FORBIDDEN_TO_ALL = [
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG SET appendonly no",
    "CONFIG GET requirepass",
    "CONFIG REWRITE",
    "KEYS *",
    "SCAN 0",
    "GET other",
    "SET other value",
    "XADD other * field value",
    "XLEN other",
    "HGETALL other",
    f"DEL {STREAM}",
    f"UNLINK {STREAM}",
    f"RENAME {STREAM} other",
    f"COPY {STREAM} other",
    f"DUMP {STREAM}",
    f"XTRIM {STREAM} MAXLEN 0",
    f"XSETID {STREAM} 9-9",
    f"XGROUP DESTROY {STREAM} {GROUP}",
    f"DEL {LEDGER}",
    f"HDEL {LEDGER} stored",
    f"EXPIRE {STREAM} 1",
    "EVAL 'return 1' 0",
    "SCRIPT FLUSH",
    "FUNCTION LIST",
    "ACL LIST",
    "ACL SETUSER me on",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "MONITOR",
    "SHUTDOWN NOSAVE",
    "REPLICAOF 127.0.0.1 1",
    "MODULE LIST",
    "SAVE",
    "PUBLISH channel message",
    "SUBSCRIBE channel",
]
FORBIDDEN = {
    "receiver": [
        f"XRANGE {STREAM} - +",
        f"XREADGROUP GROUP {GROUP} me STREAMS {STREAM} >",
        f"XACK {STREAM} {GROUP} 1-0",
        f"XDEL {STREAM} 1-0",
        f"HGETALL {LEDGER}",
        f"HINCRBY {LEDGER} stored 1",
        f"HSET {LEDGER} stored 5",
        f"XGROUP SETID {STREAM} {GROUP} $",
        f"XLEN {LEDGER}",
        f"HSET {STREAM} field 1",
        f"HDEL {STREAM} field",
        f"SET {KEY} value",
        f"DEL {KEY}",
        f"EXPIRE {KEY} 1",
    ],
    "writer": [f"XADD {STREAM} * field value", f"HGETALL {STREAM}x"],
    "status": [
        f"XADD {STREAM} * field value",
        f"XGROUP SETID {STREAM} {GROUP} $",
        f"HSET {LEDGER} stored 5",
        f"XDEL {STREAM} 1-0",
        f"XREADGROUP GROUP {GROUP} me STREAMS {STREAM} >",
        f"HINCRBY {LEDGER} stored 1",
        f"HSET {KEY} receiver 1",
        f"HDEL {KEY} receiver",
    ],
}


async def test_what_the_page_grants_is_enough_for_all_that_they_do(guarded: Stack) -> None:
    """New, repeated and bad messages; a writer that dies, one that fails, one that leaves; `status` agrees."""
    await guarded.execute("""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.device_id = 'cursed' THEN RAISE EXCEPTION 'a bug' USING ERRCODE = 'XX000'; END IF;
            RETURN NEW;
        END $$""")
    await guarded.execute("CREATE TRIGGER fail BEFORE INSERT ON ts_measure FOR EACH ROW EXECUTE FUNCTION fail()")
    receiver = await guarded.receiver(REDIS_URL=as_user(guarded, "receiver"))
    settings = {"REDIS_URL": as_user(guarded, "writer"), "INGEST_CLAIM_IDLE_MS": 300, "INGEST_MAX_DELIVERIES": 2}
    frozen = await guarded.writer(**settings, INGEST_BATCH_MS=1000)
    messages = [telem(second=second) for second in range(200)]
    await guarded.publish(*messages[:150], ("traksense/t/s/dev/telem", b"poison"), telem("cursed"))
    await eventually(guarded.pending)
    frozen.signal(signal.SIGSTOP)
    writer = await guarded.writer(**settings)
    await guarded.publish(*messages)
    await guarded.has_rows("ts_measure", 200)
    await guarded.has_rows("ingest_errors", 2)
    frozen.kill()
    assert writer.stop() == 0
    assert (await guarded.status(REDIS_URL=as_user(guarded, "status"))).returncode == 0
    assert receiver.stop() == 0
    assert await refusals(guarded.redis) == []


async def test_what_the_page_grants_is_enough_to_see_which_receivers_run(guarded: Stack) -> None:
    receiver = await guarded.receiver(REDIS_URL=as_user(guarded, "receiver"), MQTT_CLIENT_ID="edge-7")
    await eventually(lambda: guarded.redis.hexists(KEY, "edge-7"))
    checked = await guarded.status(REDIS_URL=as_user(guarded, "status"))
    assert (checked.returncode, "edge-7" in checked.stdout) == (0, True), checked.stdout
    assert receiver.stop() == 0
    checked = await guarded.status(REDIS_URL=as_user(guarded, "status"))
    assert (checked.returncode, "edge-7 gone for" in checked.stdout) == (1, True), checked.stdout
    dismissed = await guarded.command("status", "--dismiss", "edge-7", REDIS_URL=as_user(guarded, "receiver"))
    assert (dismissed.returncode, dismissed.stderr) == (0, "")
    assert not await guarded.redis.exists(KEY)
    assert await refusals(guarded.redis) == []


async def is_refused_again(admin: Redis) -> bool:
    entries = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in await refusals(admin)]
    return any(entry[b"context"] == b"lua" and entry[b"count"] >= 3 for entry in entries)


@pytest.mark.long
async def test_a_receiver_that_may_not_write_its_heartbeat_works_all_the_same(guarded: Stack) -> None:
    await acl(guarded.redis, "receiver", "clearselectors")
    receiver = await guarded.receiver(REDIS_URL=as_user(guarded, "receiver"))
    await guarded.publish(telem())
    await eventually(guarded.backlog)
    await receiver.says("`traksense-ingest status` can't see this receiver: ingest:{receivers}: ")
    await eventually(lambda: is_refused_again(guarded.redis))
    assert receiver.stop() == 0
    assert receiver.log.count("can't see this receiver") == 1
    assert "Traceback" not in receiver.log


@pytest.mark.parametrize("user", USERS)
async def test_nothing_else_is_allowed(guarded: Stack, user: str) -> None:
    await guarded.append(*telem())
    client: Any
    async with Redis.from_url(as_user(guarded, user), protocol=2) as client:
        for command in FORBIDDEN_TO_ALL + FORBIDDEN[user]:
            with pytest.raises(NoPermissionError):
                print(command, await client.execute_command(*shlex.split(command)))
    assert await guarded.backlog() == 1
