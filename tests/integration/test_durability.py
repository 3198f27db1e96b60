"""What a PUBACK promises: on each kind of server the receiver says it at start, and keeps to it."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually

ON_DISK, IN_MEMORY = "a PUBACK means on Redis's disk", "a PUBACK means in Redis's memory"
NO_FILE = "this Redis has no append-only file: if it dies, every acknowledged message in the stream is lost"
A_SECOND = "if its machine dies, up to about 1 s of acknowledged messages is lost"


async def has_waitaof(stack: Stack) -> bool:
    try:
        await stack.redis.waitaof(0, 0, 1)
    except ResponseError:
        return False
    return True


@pytest.mark.parametrize(
    ("appendonly", "appendfsync", "durability", "said", "said_without_waitaof"),
    [
        ("yes", "always", "auto", f"{ON_DISK} (WAITAOF)", f"{ON_DISK} (appendfsync always)"),
        ("yes", "always", "aof", f"{ON_DISK} (WAITAOF)", f"{ON_DISK} (appendfsync always)"),
        ("yes", "everysec", "auto", f"{ON_DISK} (WAITAOF)", A_SECOND),
        ("yes", "everysec", "aof", f"{ON_DISK} (WAITAOF)", A_SECOND),
        ("yes", "everysec", "memory", IN_MEMORY, IN_MEMORY),
        ("no", "everysec", "auto", NO_FILE, NO_FILE),
        ("no", "everysec", "memory", IN_MEMORY, IN_MEMORY),
    ],
)
async def test_one_line_says_what_could_be_lost(
    stack: Stack, appendonly: str, appendfsync: str, durability: str, said: str, said_without_waitaof: str
) -> None:
    await stack.redis.config_set("appendonly", appendonly)
    await stack.redis.config_set("appendfsync", appendfsync)
    receiver = await stack.receiver(INGEST_DURABILITY=durability)
    (line,) = [line for line in receiver.log.splitlines() if "durability: " in line]
    expected = said if await has_waitaof(stack) else said_without_waitaof
    assert expected in line
    assert ("WARNING" in line) == (expected in (A_SECOND, NO_FILE))
    await stack.publish(telem())
    await eventually(lambda: appended(receiver) == 1)


def appended(receiver: Process) -> float:
    return receiver.metric("ingest_appended_messages_total")


async def test_no_puback_before_it_is_on_disk(stack: Stack) -> None:
    """The disk never gets it: the message is in the stream, and the broker, who has no PUBACK, delivers it again."""
    if not await has_waitaof(stack):
        pytest.skip("this Redis has no WAITAOF")
    await stack.redis.config_set("appendfsync", "no")
    receiver = await stack.receiver()
    await stack.publish(telem())
    await receiver.says("redis has not written its append-only file for 4 s")
    assert (await stack.backlog(), appended(receiver)) == (1, 0)
    receiver.kill()
    await stack.redis.config_set("appendfsync", "always")
    again = await stack.receiver()
    await eventually(lambda: appended(again) == 1, "it was delivered again")
    assert await stack.backlog() == 2


async def test_memory_is_acknowledged_without_waiting_for_the_disk(stack: Stack) -> None:
    await stack.redis.config_set("appendfsync", "no")
    receiver = await stack.receiver(INGEST_DURABILITY="memory")
    await stack.publish(telem())
    await eventually(lambda: appended(receiver) == 1)
    receiver.kill()
    again = await stack.receiver(INGEST_DURABILITY="memory")
    await stack.publish(telem(second=1))
    await eventually(lambda: appended(again) == 1)
    assert await stack.backlog() == 2, "the first one didn't come again"
