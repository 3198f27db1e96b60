"""Mappings in the services: what is published on other topics becomes rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.mapping_files import TOPIC, Folder, reading, readings
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import key_of


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "mappings")
    folder.put(readings())
    return folder


@pytest.mark.parametrize("group", ["", "g"], ids=["alone", "in a group"])
async def test_overlapping_filters_with_mqtt_5_are_stored_once(retaining: Stack, folder: Folder, group: str) -> None:
    stack = retaining
    variables = {
        "INGEST_MAPPINGS": folder,
        "MQTT_PROTOCOL": "5",
        "MQTT_SHARED_GROUP": group,
        "MQTT_TOPICS": "traksense/+/+/+/telem,traksense/#,readings/acme/#",
    }
    receiver = await stack.receiver(**variables)
    prefix = f"$share/{group}/" if group else ""
    subscribed = receiver.log.partition("subscribed at QoS 1 to ")[2].splitlines()[0]
    assert subscribed == ", ".join(prefix + name for name in ("traksense/#", "readings/acme/#", "readings/+/+/+"))
    await stack.writer(INGEST_MAPPINGS=folder)
    await stack.publish(telem(), (TOPIC, reading()), ("readings/umc/plant1/n7", reading()))
    await stack.has_rows("ts_measure", 3)
    if group:
        assert receiver.metric("ingest_appended_messages_total") >= 3
    assert receiver.metric("ingest_received_messages_total") <= 4, (
        "but for the two that overlap in part, each came once"
    )


async def test_a_replay_stores_what_came_before_its_mapping(stack: Stack, folder: Folder) -> None:
    receiver = await stack.receiver(MQTT_TOPICS="readings/#")
    writer = await stack.writer()
    await stack.publish((TOPIC, reading()), (TOPIC, reading(6)))
    await stack.has_rows("ingest_errors", 2)
    assert {row["error_class"] for row in await stack.fetch("SELECT * FROM ingest_errors")} == {"invalid_topic"}
    assert receiver.stop() == 0
    assert writer.stop() == 0
    dry = await stack.command("dlq", "replay", "--all", "--dry-run", INGEST_MAPPINGS=folder)
    assert "2 would be stored" in dry.stdout, dry.stdout + dry.stderr
    await stack.writer(INGEST_MAPPINGS=folder)
    replay = await stack.command("dlq", "replay", "--all", INGEST_MAPPINGS=folder)
    assert replay.returncode == 0, replay.stderr
    await stack.has_rows("ts_measure", 2)
    assert await stack.fetchval("SELECT count(*) FROM ingest_errors WHERE replayed_at IS NULL") == 0


async def test_receiver_and_replay_choose_the_shard_of_the_mapping(stack: Stack, folder: Folder) -> None:
    """By what it says of the topic, wherever the device's messages come from."""
    text = readings(topic="readings/{tenant}/{site}/{device}/{point}").replace(
        "tenant: {", 'shard: "{device}"\ntenant: {'
    )
    folder.put(text.replace("/n7\n", "/n7/temp\n"))
    topics = [f"readings/t{number % 3}/s{number}/n{number % 8}/p{number}" for number in range(64)]
    receiver = await stack.receiver(INGEST_MAPPINGS=folder, INGEST_SHARDS=4)
    await stack.publish(*((topic, b"not json") for topic in topics))
    await eventually(lambda: _appended(stack, 64))
    shards = {topic: shard for shard in range(4) for topic in await _topics(stack, shard)}
    assert len(set(shards.values())) > 1
    of_device = {topic.split("/")[3]: set[int]() for topic in topics}
    for topic, shard in shards.items():
        of_device[topic.split("/")[3]].add(shard)
    assert {len(found) for found in of_device.values()} == {1}
    assert receiver.stop() == 0
    writer = await stack.writer(INGEST_MAPPINGS=folder, INGEST_SHARDS=4)
    await eventually(lambda: _has_dead_letters(stack, 64))
    assert writer.stop() == 0
    replay = await stack.command("dlq", "replay", "--all", INGEST_MAPPINGS=folder, INGEST_SHARDS=4)
    assert replay.returncode == 0, replay.stderr
    assert {topic: shard for shard in range(4) for topic in await _topics(stack, shard)} == shards


async def _appended(stack: Stack, count: int) -> bool:
    return sum([await stack.backlog(shard) for shard in range(4)]) == count


async def _topics(stack: Stack, shard: int) -> list[str]:
    entries: Any = await stack.redis.xrange(key_of(shard))
    return [fields[b"topic"].decode() for _, fields in entries]


async def _has_dead_letters(stack: Stack, count: int) -> bool:
    return await stack.count("ingest_errors") == count
