"""The receiver on a real broker and a real Redis."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from shared.stream import key_of, shard_of
from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually, watching


async def entries(stack: Stack, shard: int = 0) -> list[dict[bytes, bytes]]:
    found: Any = await stack.redis.xrange(key_of(shard))
    return [fields for _, fields in found]


async def test_it_connects_subscribes_and_says_so(stack: Stack) -> None:
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
    await eventually(lambda: _total(stack, 3, len(sent)))

    seen: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for shard in range(3):
        for fields in await entries(stack, shard):
            seen[fields[b"topic"]].append((shard, int(fields[b"payload"])))
    assert len(seen) == len(devices)
    for order in seen.values():
        assert len({shard for shard, _ in order}) == 1
        assert [number for _, number in order] == list(range(40))
    assert len({order[0][0] for order in seen.values()}) == 3


async def _total(stack: Stack, shards: int, count: int) -> bool:
    return sum([await stack.backlog(shard) for shard in range(shards)]) >= count


async def test_nothing_is_acknowledged_before_it_is_in_the_stream(stack: Stack) -> None:
    receiver = await stack.receiver()
    stack.redis_server.stop()
    await eventually(lambda: receiver.get("/readyz")[0] == 503)
    await stack.publish(*(telem(second=number) for number in range(30)))
    await eventually(lambda: receiver.metric("ingest_received_messages_total") == 30)
    receiver.kill()  # what it held is gone; had it acknowledged, the messages were too

    stack.redis_server.start()
    await stack.receiver()
    await eventually(lambda: _total(stack, 1, 30), "the broker delivers the 30 messages again")


async def test_redis_away_is_waited_for(stack: Stack) -> None:
    receiver = await stack.receiver()
    stack.redis_server.kill()
    await stack.publish(*(telem(second=number) for number in range(30)))
    await receiver.says("redis is away, waiting for it")
    stack.redis_server.start()
    await eventually(lambda: _total(stack, 1, 30))
    assert receiver.log.count("redis is away") == 1
    assert receiver.metric("ingest_errors_total", reason="redis_error") >= 1
    assert receiver.get("/readyz")[0] == 200


async def test_the_broker_comes_back(stack: Stack) -> None:
    receiver = await stack.receiver()
    stack.broker.stop()
    await receiver.says("broker is away, waiting for it")
    assert receiver.get("/readyz")[0] == 503
    publishing = asyncio.create_task(publish_until_acknowledged(stack, *telem()))
    stack.broker.start()
    await publishing
    await eventually(stack.backlog)
    assert receiver.metric("ingest_errors_total", reason="mqtt_error") >= 1
    await eventually(lambda: receiver.get("/readyz")[0] == 200)


async def publish_until_acknowledged(stack: Stack, topic: str, payload: bytes) -> None:
    """As a device does: again and again until there is a PUBACK, and a subscriber for it to reach."""

    async def attempt() -> bool:
        try:
            async with stack.client() as client:
                await client.publish(topic, payload, qos=1)
        except aiomqtt.MqttError:
            return False
        return bool(await stack.backlog())

    await eventually(attempt)


async def test_a_full_stream_holds_and_nothing_is_trimmed(stack: Stack) -> None:
    receiver = await stack.receiver(INGEST_QUEUE_MAX=1000)
    async with watching(never_longer_than(stack, 1000)):
        await stack.publish(*(telem(f"dev{number % 10}", number, points=2) for number in range(5000)))
        await receiver.says("ingest:{0} is full (1000 entries)")
        assert receiver.metric("ingest_backpressure") == 1
        await eventually(lambda: receiver.metric("ingest_backpressure_seconds_total") > 0, "counted while it lasts")
        first: Any = await stack.redis.xrange(key_of(0), count=1)

        writer = await stack.writer()
        await stack.has_rows("ts_measure", 10_000)
        assert (await stack.redis.xinfo_stream(key_of(0)))["entries-added"] == 5000, "appended once each"
        assert first[0][1][b"payload"] == telem("dev0", 0, points=2)[1], "the oldest was still there when it was full"
    await eventually(lambda: receiver.metric("ingest_backpressure") == 0)
    assert receiver.metric("ingest_backpressure_seconds_total") > 0
    await receiver.says("ingest:{0} has room again")
    assert receiver.log.count("is full") == 1, "one line, however many batches had to wait"
    assert writer.metric("ingest_dlq_rows_total") == 0


async def never_longer_than(stack: Stack, cap: int) -> None:
    while True:
        assert await stack.backlog() <= cap
        await asyncio.sleep(0)


async def test_a_full_shard_does_not_hold_up_another(stack: Stack) -> None:
    receiver = await stack.receiver(INGEST_SHARDS=2, INGEST_QUEUE_MAX=5)
    by_shard: dict[int, str] = {}
    for number in range(20):
        by_shard.setdefault(_shard_of(f"dev{number}"), f"dev{number}")
    await stack.publish(*(telem(by_shard[0], second) for second in range(10)))
    await receiver.says("ingest:{0} is full")
    await stack.publish(*(telem(by_shard[1], second) for second in range(5)))
    await eventually(lambda: _has(stack, shard=1, count=5))
    assert await stack.backlog(0) == 5


def _shard_of(device: str) -> int:
    return shard_of(f"traksense/t/site/{device}/telem".encode(), 2)


async def _has(stack: Stack, shard: int, count: int) -> bool:
    return await stack.backlog(shard) == count


async def test_receivers_in_a_group_share_the_messages(stack: Stack) -> None:
    receivers = [
        await stack.receiver(MQTT_SHARED_GROUP="g", MQTT_CLIENT_ID=f"traksense-receiver-{index}") for index in range(2)
    ]
    await stack.publish(*(telem(second=number) for number in range(200)))
    await eventually(lambda: _total(stack, 1, 200))
    shares = [receiver.metric("ingest_received_messages_total") for receiver in receivers]
    assert sum(shares) == 200
    assert min(shares) > 0


async def test_sigterm_finishes_what_it_holds(stack: Stack) -> None:
    receiver = await stack.receiver()
    await stack.publish(*(telem(second=number) for number in range(500)))
    assert receiver.stop() == 0
    await stack.receiver()
    await eventually(lambda: _total(stack, 1, 500))
    payloads = {fields[b"payload"] for fields in await entries(stack)}
    assert len(payloads) == 500


async def test_sigterm_ends_it_also_while_the_stream_is_full(stack: Stack) -> None:
    receiver = await stack.receiver(INGEST_QUEUE_MAX=10)
    await stack.publish(*(telem(second=number) for number in range(100)))
    await receiver.says("is full")
    assert receiver.stop() == 0
    assert await stack.backlog() == 10


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


async def test_it_waits_for_servers_that_are_not_there_yet(stack: Stack) -> None:
    stack.broker.stop()
    stack.redis_server.stop()
    receiver = stack.start("receiver")
    await receiver.says("redis is away, waiting for it")
    stack.redis_server.start()
    await receiver.says("broker is away, waiting for it")
    stack.broker.start()
    await receiver.ready()
    assert "Traceback" not in receiver.log
    assert receiver.stop() == 0


async def test_mqtt_5(stack: Stack) -> None:
    """A broker keeps the session of a receiver that is away, and delivers what came meanwhile."""
    url = getattr(stack.broker, "v5_url", None) or stack.broker.url
    receiver = await stack.receiver(MQTT_PROTOCOL="5", MQTT_URL=url)
    assert receiver.stop() == 0
    await stack.publish(*(telem(second=number) for number in range(50)))
    await stack.receiver(MQTT_PROTOCOL="5", MQTT_URL=url)
    await eventually(lambda: _total(stack, 1, 50))
    payloads = [fields[b"payload"] for fields in await entries(stack)]
    assert payloads == [telem(second=number)[1] for number in range(50)]


async def test_qos_0_is_delivered_too(stack: Stack) -> None:
    receiver = await stack.receiver(MQTT_QOS=0)
    await receiver.says("subscribed at QoS 0")
    await stack.publish(telem())
    await eventually(stack.backlog)


async def test_a_backlog_larger_than_the_stream_waits_at_the_broker_in_order(stack: Stack) -> None:
    """More than one batch, more than one in-flight window, a stream that never has room for a whole batch."""
    await stack.receiver(INGEST_QUEUE_MAX=7)
    writer = await stack.writer()
    await stack.publish(*(telem(second=number) for number in range(1000)))
    await stack.has_rows("ts_measure", 1000)
    assert writer.metric("ingest_duplicates_total", type="telem") == 0


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
    await eventually(lambda: _total(stack, 1, 2))
    assert receiver.metric("ingest_errors_total", reason="mqtt_error") == 0


async def test_an_append_only_file_that_is_switched_off_at_run_time(stack: Stack) -> None:
    """The promise changes, and the batch that was being confirmed is not appended again."""
    receiver = await stack.receiver()
    await stack.publish(telem(second=1))
    await eventually(lambda: _total(stack, 1, 1))
    await stack.redis.config_set("appendonly", "no")
    await stack.publish(telem(second=2))
    await eventually(lambda: receiver.metric("ingest_appended_messages_total") == 2)
    await stack.publish(telem(second=3))
    await eventually(lambda: receiver.metric("ingest_appended_messages_total") == 3)
    assert await stack.backlog() == 3


async def test_a_broker_that_dies_under_load_again_and_again(stack: Stack) -> None:
    """Each time in the middle of appends and acknowledgements, with several receivers to hit the moment."""
    receivers = [await stack.receiver(MQTT_CLIENT_ID=f"receiver-{number}") for number in range(3)]
    for _ in range(3):
        publishing = asyncio.create_task(publish_for_ever(stack))
        before = [receiver.metric("ingest_received_messages_total") for receiver in receivers]
        await eventually(lambda before=before: _each_received(receivers, before, 50))  # type: ignore[misc]
        stack.broker.kill()
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        stack.broker.start()
        await eventually(lambda: all(receiver.get("/readyz")[0] == 200 for receiver in receivers), "all are back")
        before = [receiver.metric("ingest_received_messages_total") for receiver in receivers]
        await stack.publish(telem())
        await eventually(lambda before=before: _each_received(receivers, before, 1))  # type: ignore[misc]
    for receiver in receivers:
        assert "Traceback" not in receiver.log
        assert receiver.stop() == 0


async def publish_for_ever(stack: Stack) -> None:
    async with stack.client() as client:
        while True:
            await asyncio.gather(*(client.publish(*telem(f"dev{number}"), qos=1) for number in range(10)))


def _each_received(receivers: list[Process], before: list[float], count: int) -> bool:
    now = [receiver.metric("ingest_received_messages_total") for receiver in receivers]
    return all(after - earlier >= count for after, earlier in zip(now, before, strict=True))


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_two_receivers_with_one_client_id_say_so_once_and_get_on(stack: Stack, protocol: str) -> None:
    """Each throws the other out: not in a tight loop, and what comes in is appended all the same."""
    url = stack.broker.url if protocol == "3.1.1" else getattr(stack.broker, "v5_url", None) or stack.broker.url
    receivers = [stack.start("receiver", MQTT_PROTOCOL=protocol, MQTT_URL=url) for _ in range(2)]
    line = "another client probably uses this client id, traksense-receiver"
    await eventually(lambda: any(line in receiver.log for receiver in receivers))
    for second in range(10):
        await stack.publish(telem(second=second))
        await asyncio.sleep(0.8)
    await eventually(lambda: _total(stack, 1, 10))
    for receiver in receivers:
        assert receiver.log.count(line) <= 1
        assert len(receiver.log.splitlines()) < 60, receiver.log
        assert "Traceback" not in receiver.log
        assert receiver.stop() == 0


async def take_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A broker that names its reason, as Mosquitto 2.0.11 and rumqttd do not: CONNACK, SUBACK, DISCONNECT 0x8E."""
    await reader.read(1000)
    writer.write(b"\x20\x03\x00\x00\x00")
    mid = (await reader.read(1000))[2:4]
    writer.write(b"\x90\x06" + mid + b"\x00\x01\x01\x01" + b"\xe0\x01\x8e")
    await writer.drain()
    writer.close()


async def test_a_reason_that_the_broker_gives_is_believed_at_once(stack: Stack) -> None:
    async with await asyncio.start_server(take_over, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        receiver = stack.start("receiver", MQTT_PROTOCOL="5", MQTT_URL=f"mqtt://127.0.0.1:{port}")
        line = "another client probably uses this client id, traksense-receiver"
        await receiver.says(line)
        assert "[code:142] Session taken over" in receiver.log
        await eventually(lambda: receiver.log.count("broker is away") >= 2)
        assert receiver.log.count(line) == 1
        assert receiver.stop() == 0
