"""What a PUBACK promises: on each kind of server the receiver says it at start, and keeps to it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any

import pytest
from redis.exceptions import ResponseError, TryAgainError

from tests.support.budget import few_of
from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually, pause
from traksense_ingest.receiver.append import Appender
from traksense_ingest.receiver.durability import ASK_AGAIN_S, Durability
from traksense_ingest.receiver.message import Message
from traksense_ingest.receiver.service import serve
from traksense_ingest.shared import config
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.streams import client as stream
from traksense_ingest.shared.streams.keys import key_of

LATE = ": the append-only file has not been fsynced for 4 s"
ON_DISK, IN_MEMORY = "a PUBACK means on Redis's disk", "a PUBACK means in Redis's memory"
NO_FILE = "this Redis has no append-only file: if it dies, every acknowledged message in the stream is lost"
LOGGER = " traksense_ingest.receiver.durability: durability: "
A_SECOND = "up to about 1 s of acknowledged messages is lost, with a slow disk 2 s more, also if it dies alone"


async def has_waitaof(stack: Stack) -> bool:
    try:
        await stack.redis.waitaof(0, 0, 1)
    except ResponseError:
        return False
    return True


@pytest.mark.parametrize(
    ("appendonly", "appendfsync", "durability", "said", "said_without_waitaof"),
    few_of(
        [
            ("yes", "always", "auto", f"{ON_DISK} (WAITAOF)", f"{ON_DISK} (appendfsync always)"),
            ("yes", "everysec", "aof", f"{ON_DISK} (WAITAOF)", A_SECOND),
            ("no", "everysec", "auto", NO_FILE, NO_FILE),
            ("no", "everysec", "memory", IN_MEMORY, IN_MEMORY),
            ("yes", "always", "aof", f"{ON_DISK} (WAITAOF)", f"{ON_DISK} (appendfsync always)"),
            ("yes", "everysec", "auto", f"{ON_DISK} (WAITAOF)", A_SECOND),
            ("yes", "everysec", "memory", IN_MEMORY, IN_MEMORY),
        ],
        4,
    ),
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
    await receiver.says(LATE)
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


def reported(receiver: Process) -> list[str]:
    """The durability that it has logged, in order."""
    return [line.partition(LOGGER)[2] for line in receiver.log.splitlines() if LOGGER in line]


async def test_the_first_contact_says_it_once(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However many times it takes, and whatever fails after the question."""
    stop, tries = asyncio.Event(), itertools.count(1)
    require = stream.require

    async def refused_for_a_while(*arguments: Any) -> None:
        if next(tries) < 4:
            raise TryAgainError("not now")
        await require(*arguments)

    monkeypatch.setattr(stream, "require", refused_for_a_while)
    settings = config.load(
        mqtt_url=stack.broker.url, redis_url=stack.redis_server.url, metrics_host="127.0.0.1", metrics_port=0
    )
    with caplog.at_level(logging.INFO):
        serving = asyncio.create_task(serve(settings, stop))
        await eventually(lambda: "subscribed at QoS" in caplog.text)
        stop.set()
        await serving
    assert caplog.text.count("durability: ") == 1


async def test_a_disk_that_is_late_is_said_once(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if not await has_waitaof(stack):
        pytest.skip("this Redis has no WAITAOF")
    monkeypatch.setattr("traksense_ingest.receiver.durability.WAIT_MS", 20)
    metrics = ReceiverMetrics()
    redis = Component("redis", "", metrics)
    async with stream.connect(stack.redis_server.url) as clients:
        appender = Appender(0, clients, 100, Durability("auto"), redis, metrics)
        for number in range(2):
            await stack.redis.config_set("appendfsync", "no")
            await stack.redis.config_resetstat()
            appending = asyncio.create_task(appender.append([message(number)]))
            await eventually(lambda: _has_waited(stack, 3), "it has waited several times")
            assert not redis.is_up
            await stack.redis.config_set("appendfsync", "always")
            await stack.redis.set("key", "value")  # which writes what was held back
            await appending
            assert redis.is_up
        await appender.aclose()
    said = f"redis can't be used, waiting for it: {key_of(0)} on 127.0.0.1:{stack.redis_server.port}: the append-only"
    assert (caplog.text.count(said), await stack.backlog()) == (2, 2)


def message(ticket: int) -> Message:
    topic, payload = telem(second=ticket)
    return Message(topic.encode(), payload, 0, 1, 1, ticket, False)


async def _has_waited(stack: Stack, times: int) -> bool:
    stats: Any = await stack.redis.info("commandstats")
    return bool(stats.get("cmdstat_waitaof", {}).get("calls", 0) >= times)


@pytest.mark.long
async def test_a_replica_for_a_while_changes_no_promise(stack: Stack) -> None:
    """WAITAOF fails in the middle of a batch (UNBLOCKED): the batch is appended again, and waits for the disk again."""
    if not await has_waitaof(stack):
        pytest.skip("this Redis has no WAITAOF")
    receiver = await stack.receiver(INGEST_DURABILITY="aof")
    await stack.redis.config_set("appendfsync", "no")
    await stack.publish(telem())
    await eventually(lambda: _backlog_is(stack, 1))
    await stack.redis_command("REPLICAOF", "127.0.0.1", "1")
    await eventually(lambda: receiver.metric("ingest_errors_total", reason="redis_error") >= 5, "it tries on a replica")
    await stack.redis_command("REPLICAOF", "NO", "ONE")
    await eventually(lambda: _backlog_is(stack, 2), "it is appended again")
    await receiver.says(LATE)
    assert appended(receiver) == 0
    await stack.redis.config_set("appendfsync", "always")
    await eventually(lambda: appended(receiver) == 1)
    assert reported(receiver) == [f"{ON_DISK} (WAITAOF)"]


async def _backlog_is(stack: Stack, count: int) -> bool:
    return await stack.backlog() >= count


@pytest.mark.long
async def test_connections_that_are_killed_change_no_promise(stack: Stack) -> None:
    """In the middle of WAITAOF, or of asking what is promised: neither is an answer."""
    if not await has_waitaof(stack):
        pytest.skip("this Redis has no WAITAOF")
    receiver = await stack.receiver(INGEST_SHARDS=3)
    await stack.redis.config_set("appendfsync", "no")
    await stack.publish(*(telem(f"dev{number}") for number in range(12)))
    for _ in range(20):
        await stack.redis_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await pause(0.05)
    await receiver.says(LATE)
    assert appended(receiver) == 0
    await stack.redis.config_set("appendfsync", "always")
    await eventually(lambda: appended(receiver) == 12)
    assert reported(receiver) == [f"{ON_DISK} (WAITAOF)"]


@pytest.mark.long
@pytest.mark.parametrize("appendfsync", few_of(["always", "everysec"], 1))
async def test_an_append_only_file_that_goes_and_comes_back(stack: Stack, appendfsync: str) -> None:
    """Each change of the promise is one line, with several shards too, and a PUBACK waits for the disk again."""
    await stack.redis.config_set("appendfsync", appendfsync)
    receiver = await stack.receiver(INGEST_SHARDS=3)
    (first,) = reported(receiver)
    numbers = itertools.count()

    async def load_until(lines: int) -> bool:
        await stack.publish(*(telem(f"dev{device}", next(numbers)) for device in range(12)))
        return len(reported(receiver)) == lines

    await eventually(lambda: load_until(1))
    await stack.redis.config_set("appendonly", "no")
    await eventually(lambda: load_until(2))
    await stack.redis.config_set("appendonly", "yes")
    await eventually(lambda: load_until(3))
    assert [line.partition(",")[0] for line in reported(receiver)] == [
        first.partition(",")[0],
        NO_FILE.partition(",")[0],
        first.partition(",")[0],
    ]
    if await has_waitaof(stack):
        await eventually(lambda: appended(receiver) == receiver.metric("ingest_received_messages_total"))
        await pause(ASK_AGAIN_S)  # the other shards' connections have a promise of their own
        await load_until(3)
        await eventually(lambda: appended(receiver) == receiver.metric("ingest_received_messages_total"))
        await stack.redis.config_set("appendfsync", "no")
        before = appended(receiver)
        await stack.publish(*(telem(f"dev{device}", next(numbers)) for device in range(12)))
        await receiver.says(LATE)
        assert appended(receiver) == before


async def test_a_redis_that_is_back_without_its_append_only_file_gets_nothing(stack: Stack) -> None:
    receiver = await stack.receiver(INGEST_DURABILITY="aof")
    await stack.publish(telem())
    await eventually(lambda: appended(receiver) == 1)
    stack.redis_server.stop()
    options = stack.redis_server.options  # type: ignore[attr-defined]
    options["appendonly"] = "no"
    stack.redis_server.start()
    await stack.publish(telem(second=1))
    await ends_for_want_of_a_file(receiver)
    assert await stack.backlog() == 0

    stack.redis_server.stop()
    options["appendonly"] = "yes"
    stack.redis_server.start()
    again = await stack.receiver(INGEST_DURABILITY="aof")
    await eventually(lambda: appended(again) >= 1, "it was not acknowledged")


async def test_an_append_only_file_that_is_switched_off_ends_a_receiver_that_must_have_it(stack: Stack) -> None:
    receiver = await stack.receiver(INGEST_DURABILITY="aof", INGEST_SHARDS=3)
    await stack.publish(*(telem(f"dev{number}") for number in range(12)))
    await eventually(lambda: appended(receiver) == 12)
    await stack.redis.config_set("appendonly", "no")
    numbers = itertools.count()

    async def load_until_it_ended() -> bool:
        await stack.publish(telem(second=next(numbers)))
        return receiver.popen.poll() is not None

    await eventually(load_until_it_ended)
    await ends_for_want_of_a_file(receiver)


async def ends_for_want_of_a_file(receiver: Process) -> None:
    assert await asyncio.to_thread(receiver.wait) == 2, receiver.log
    assert receiver.log.splitlines()[-1].startswith("INGEST_DURABILITY=aof, but this Redis has no append-only file")
    assert "Traceback" not in receiver.log
