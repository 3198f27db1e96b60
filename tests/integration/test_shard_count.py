"""INGEST_SHARDS that is not the same everywhere: a device's messages would go to two streams, out of order."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tests.support.stack import Stack
from tests.support.status_reports import heartbeat_of, report_of
from tests.support.waiting import eventually
from traksense_ingest.shared.streams import heartbeat
from traksense_ingest.shared.streams.heartbeat import KEY, Receiver, Writer
from traksense_ingest.shared.streams.shard_count import ShardCount

WARNING = "INGEST_SHARDS is 2 here, but not in all processes (receiver one: 1)"


@pytest.mark.long
async def test_two_receivers_say_so_and_status_fails_until_it_is_over(stack: Stack) -> None:
    one = await stack.receiver(MQTT_CLIENT_ID="one")
    await eventually(lambda: registered(stack, "one"))
    two = await stack.receiver(MQTT_CLIENT_ID="two", INGEST_SHARDS=2)
    await two.says(WARNING)
    await one.says("INGEST_SHARDS is 1 here, but not in all processes (receiver two: 2)")
    code, report = await report_of(stack)
    groups = [
        {"shards": 1, "processes": ["receiver one"]},
        {"shards": 2, "processes": ["receiver two"]},
    ]
    assert (code, report["ok"], report["ingest_shards"]) == (1, False, {"same": False, "groups": groups})
    shown = await stack.status()
    assert shown.returncode == 1
    assert "receivers and writers run with different INGEST_SHARDS" in shown.stdout
    assert "2: receiver two" in shown.stdout.splitlines()
    assert two.log.count("not in all processes") == 1
    assert one.stop() == 0
    assert (await stack.status("--dismiss", "one")).returncode == 0
    code, report = await report_of(stack)
    same = {"same": True, "groups": [{"shards": 2, "processes": ["receiver two"]}]}
    assert (code, report["ingest_shards"]) == (0, same)


async def test_a_writer_with_another_number_than_the_receivers(stack: Stack) -> None:
    await stack.receiver(MQTT_CLIENT_ID="one")
    await eventually(lambda: registered(stack, "one"))
    writer = await stack.writer(INGEST_SHARDS=2)
    await writer.says(WARNING)

    async def is_seen() -> bool:
        _, report = await report_of(stack, INGEST_SHARDS=2)
        return len(report["ingest_shards"]["groups"]) == 2

    await eventually(is_seen)


async def test_it_is_logged_once_and_again_only_after_it_was_over(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    check = ShardCount(stack.clients, 2).check

    async def seen(*receivers: Receiver) -> int:
        for receiver in receivers:
            await heartbeat.register(stack.clients, receiver)
        await check()
        return len(caplog.messages)

    assert await seen(Receiver(client_id="one", shards=1)) == 1
    assert caplog.messages[0].startswith(WARNING)
    assert await seen(Receiver(client_id="another", shards=1)) == 1
    assert await seen(*(Receiver(client_id=name, shards=2) for name in ("one", "another"))) == 1
    assert await seen(Receiver(client_id="one", shards=3, stopped=True)) == 1
    await heartbeat.register_writer(stack.clients, Writer(name="host-1", shards=3))
    assert await seen() == 2
    assert caplog.messages[1].startswith("INGEST_SHARDS is 2 here, but not in all processes (writer host-1: 3)")


async def test_heartbeats_of_the_version_before_are_read_and_say_nothing_of_it(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    """And one whose number is none."""
    seconds, _ = await stack.redis.time()
    about = {"process": "", "broker": True, "waiting": False, "appended": 0, "appended_per_s": 0}
    for name, more in (("old", {}), ("odd", {"shards": None})):
        await stack.redis.hset(KEY, name, json.dumps({"at": seconds * 1000, **about, **more}))
    await ShardCount(stack.clients, 2).check()
    assert caplog.messages == []
    code, report = await report_of(stack)
    assert (code, report["ingest_shards"]) == (0, {"same": True, "groups": []})
    assert [each["shards"] for each in report["receivers"]] == [None, None]


async def test_a_key_of_another_type_is_not_its_business(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    await stack.redis.set(KEY, "by hand")
    await heartbeat.register_writer(stack.clients, Writer(name="host-1", shards=3))
    await ShardCount(stack.clients, 2).check()
    assert ["(writer host-1: 3)" in message for message in caplog.messages] == [True]


async def registered(stack: Stack, client_id: str) -> dict[str, Any]:
    return await heartbeat_of(stack, client_id)
