"""States of version 1: their history as events, and the newest one of each device."""

from __future__ import annotations

import json

import pytest

from tests.support.stack import Stack

pytestmark = pytest.mark.long  # of `make test-all`

VIEW = "SELECT device_id, is_online, state FROM tenant.device_state ORDER BY device_id"


def state(text: str, minute: int | None = None, device: str = "fridge") -> tuple[str, bytes]:
    ts = None if minute is None else f"2026-01-01T12:{minute:02}:00Z"
    payload = {"schema": "v1", "state": text, "ts": ts}
    return f"traksense/acme/plant/{device}/state", json.dumps(payload).encode()


async def test_the_newest_state_of_each_device_and_its_history(stack: Stack) -> None:
    await stack.receiver(MQTT_TOPICS="traksense/+/+/+/state")
    writer = await stack.writer()
    await stack.publish(state("online", 1), state("offline", 3), state("defrosting", 2), state("offline", 3))
    await stack.publish(state("defrosting", 5, "freezer"), ("traksense/acme/plant/will/state", b"offline"))
    await stack.has_rows("device_event", 5)
    assert await stack.fetch_of_tenant("acme", VIEW) == [
        ("freezer", True, "defrosting"),
        ("fridge", False, "offline"),
        ("will", False, "offline"),
    ]
    assert await stack.fetch_of_tenant("other", VIEW) == []
    await writer.counts("ingest_messages_total", 6, type="state")
    await writer.counts("ingest_duplicates_total", 1, type="state")
    seen = {row["device_id"] for row in await stack.fetch("SELECT device_id FROM device")}
    assert seen == {"fridge", "freezer"}, "a last will is no sign of its device"


async def test_an_event_that_is_called_state_is_none(stack: Stack) -> None:
    event = {"schema": "v1", "event_type": "state", "ts": "2026-01-02T00:00:00Z", "data": {"online": "perhaps"}}
    await stack.append(*state("offline", 1))
    await stack.append("traksense/acme/plant/fridge/event", json.dumps(event).encode())
    await stack.writer()
    await stack.has_rows("device_event", 2)
    assert await stack.fetch_of_tenant("acme", VIEW) == [("fridge", False, "offline")]


async def test_a_retained_state_without_a_time_is_stored_if_it_is_news(stack: Stack) -> None:
    """As the broker sends it at each subscription."""
    topic = "traksense/acme/plant/fridge/state"
    writer = await stack.writer(INGEST_BATCH_SIZE=1)
    for number, payload in enumerate((b"online", b"online", b"offline", b"online", b"online"), 1):
        await stack.append(topic, payload, retained="1", received_at=1_767_268_800_000 + number * 1000)
        await writer.counts("ingest_messages_total", number, type="state")
    rows = await stack.fetch("SELECT data ->> 'online' AS online FROM device_event ORDER BY ts")
    assert [row["online"] for row in rows] == ["true", "false", "true"]
    assert await stack.fetch_of_tenant("acme", VIEW) == [("fridge", True, "online")]
    assert writer.metric("ingest_duplicates_total", type="state") == 2
    await stack.append(topic, b"online", received_at=1_767_268_900_000)
    await stack.has_rows("device_event", 4)
    assert await stack.count("ingest_errors") == 0
