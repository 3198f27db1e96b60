"""What a receiver appends: the exact bytes of each message, in order, over shards, groups and versions of MQTT."""

from __future__ import annotations

from collections import defaultdict

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.stack import Stack, telem
from tests.support.streams import entries, has_in_all
from tests.support.waiting import eventually


async def test_it_connects_subscribes_and_logs_it(stack: Stack) -> None:
    receiver = await stack.receiver()
    await receiver.says("subscribed at QoS 1 to traksense/+/+/+/telem, traksense/+/+/+/ack, traksense/+/+/+/event")
    assert receiver.get("/healthz")[0] == 200
    assert receiver.metric("ingest_connected", component="broker") == 1
    assert receiver.metric("ingest_connected", component="redis") == 1
    assert receiver.get("/nothing")[0] == 404


@pytest.mark.parametrize("payload", [b"", b"\xff\x00\n", b"x" * 1_500_000], ids=["empty", "binary", "large"])
async def test_an_entry_has_the_exact_bytes_and_nothing_decoded(stack: Stack, payload: bytes) -> None:
    await stack.receiver()
    await stack.publish(("traksense/t/s/ação/telem", payload))
    await eventually(stack.backlog)
    (fields,) = await entries(stack)
    assert list(fields) == [b"topic", b"payload", b"received_at"]
    assert (fields[b"topic"], fields[b"payload"]) == ("traksense/t/s/ação/telem".encode(), payload)
    assert int(fields[b"received_at"]) > 1_700_000_000_000


async def test_order_within_a_device_is_kept_over_shards(stack: Stack) -> None:
    await stack.receiver(INGEST_SHARDS=3)
    devices = [f"dev{number}" for number in range(12)]
    sent = [(f"traksense/t/s/{device}/telem", b"%d" % number) for number in range(40) for device in devices]
    await stack.publish(*sent)
    await eventually(lambda: has_in_all(stack, 3, len(sent)))

    seen: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for shard in range(3):
        for fields in await entries(stack, shard):
            seen[fields[b"topic"]].append((shard, int(fields[b"payload"])))
    assert len(seen) == len(devices)
    for order in seen.values():
        assert len({shard for shard, _ in order}) == 1
        assert [number for _, number in order] == list(range(40))
    assert len({order[0][0] for order in seen.values()}) == 3


async def test_receivers_in_a_group_share_the_messages(stack: Stack) -> None:
    receivers = [
        await stack.receiver(MQTT_SHARED_GROUP="g", MQTT_CLIENT_ID=f"traksense-receiver-{index}") for index in range(2)
    ]
    await stack.publish(*(telem(second=number) for number in range(200)))
    await eventually(lambda: has_in_all(stack, 1, 200))
    shares = [receiver.metric("ingest_received_messages_total") for receiver in receivers]
    assert sum(shares) == 200
    assert min(shares) > 0


async def test_sigterm_finishes_what_it_holds(stack: Stack) -> None:
    receiver = await stack.receiver()
    await stack.publish(*(telem(second=number) for number in range(500)))
    assert receiver.stop() == 0
    await stack.receiver()
    await eventually(lambda: has_in_all(stack, 1, 500))
    payloads = {fields[b"payload"] for fields in await entries(stack)}
    assert len(payloads) == 500


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"INGEST_SHARDS": "none"}, "INGEST_SHARDS='none' is not allowed; allowed: how many streams"),
        (
            {"INGEST_DURABILITY": "aof", "REDIS_URL": "PLAIN"},
            "INGEST_DURABILITY=aof, but this Redis has no append-only",
        ),
    ],
)
async def test_what_cannot_work_ends_it_with_one_line(stack: Stack, variables: dict[str, str], line: str) -> None:
    if variables.get("REDIS_URL") == "PLAIN":
        variables = variables | {"REDIS_URL": stack.redis_server.url}
        await stack.redis.config_set("appendonly", "no")
    receiver = stack.start("receiver", **variables)
    assert receiver.wait() == 2
    assert receiver.log.splitlines()[-1].startswith(line)
    assert "Traceback" not in receiver.log


async def test_a_busy_metrics_port_is_named_with_its_variable(stack: Stack) -> None:
    first = await stack.receiver()
    second = stack.start("receiver", METRICS_PORT=first.port)
    assert second.wait() == 2
    assert f"port {first.port}" in second.log
    assert "METRICS_PORT" in second.log


async def test_mqtt_5(stack: Stack) -> None:
    """A broker keeps the session of a receiver that is disconnected, and delivers afterwards what was published."""
    url = getattr(stack.broker, "v5_url", None) or stack.broker.url
    receiver = await stack.receiver(MQTT_PROTOCOL="5", MQTT_URL=url)
    assert receiver.stop() == 0
    await stack.publish(*(telem(second=number) for number in range(50)))
    await stack.receiver(MQTT_PROTOCOL="5", MQTT_URL=url)
    await eventually(lambda: has_in_all(stack, 1, 50))
    payloads = [fields[b"payload"] for fields in await entries(stack)]
    assert payloads == [telem(second=number)[1] for number in range(50)]


async def test_qos_0_is_delivered_too(stack: Stack) -> None:
    receiver = await stack.receiver(MQTT_QOS=0)
    await receiver.says("subscribed at QoS 0")
    await stack.publish(telem())
    await eventually(stack.backlog)


@pytest.mark.parametrize("text", ["\ufeff", "plain"])
async def test_a_property_that_paho_refuses_does_not_stop_the_receiver(stack: Stack, text: str) -> None:
    url = getattr(stack.broker, "v5_url", None) or stack.broker.url
    receiver = await stack.receiver(MQTT_PROTOCOL="5", MQTT_URL=url)
    odd = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    odd.UserProperty = [("key", text)]
    port = int(url.rpartition(":")[2])
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.publish(telem()[0], telem()[1], qos=1, properties=odd)
        await client.publish(*telem(second=1), qos=1)
    await eventually(lambda: has_in_all(stack, 1, 2))
    assert receiver.metric("ingest_errors_total", reason="mqtt_error") == 0
