"""A broker or a Redis that is unreachable is waited for, and so is another client with the same id."""

from __future__ import annotations

import asyncio

import aiomqtt
import pytest

from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.streams import has_in_all
from tests.support.waiting import eventually, pause


async def test_nothing_is_acknowledged_before_it_is_in_the_stream(stack: Stack) -> None:
    receiver = await stack.receiver()
    stack.redis_server.stop()
    await eventually(lambda: receiver.get("/readyz")[0] == 503)
    await stack.publish(*(telem(second=number) for number in range(30)))
    await eventually(lambda: receiver.metric("ingest_received_messages_total") == 30)
    receiver.kill()  # what it held is gone; had it acknowledged, the messages were too

    stack.redis_server.start()
    await stack.receiver()
    await eventually(lambda: has_in_all(stack, 1, 30), "the broker delivers the 30 messages again")


async def test_an_unreachable_redis_is_waited_for(stack: Stack) -> None:
    receiver = await stack.receiver()
    stack.redis_server.kill()
    await stack.publish(*(telem(second=number) for number in range(30)))
    await receiver.says("redis is unreachable, waiting for it")
    stack.redis_server.start()
    await eventually(lambda: has_in_all(stack, 1, 30))
    assert receiver.log.count("redis is unreachable") == 1
    assert receiver.metric("ingest_errors_total", reason="redis_error") >= 1
    await eventually(lambda: receiver.get("/readyz")[0] == 200)


async def test_a_connection_that_ends_while_redis_is_waited_for_is_not_blamed_on_the_broker_alone(stack: Stack) -> None:
    """As rumqttd's does: it answers no PINGREQ while 100 messages are in flight."""
    receiver = await stack.receiver()
    stack.redis_server.kill()
    await receiver.says("redis is unreachable, waiting for it")
    stack.broker.stop()
    await receiver.says("broker is unreachable, waiting for it: ")
    (line,) = [line for line in receiver.log.splitlines() if "broker is unreachable" in line]
    assert ", while this receiver waits for Redis and acknowledges nothing (MQTT_URL=" in line


async def test_the_broker_comes_back(stack: Stack) -> None:
    receiver = await stack.receiver()
    stack.broker.stop()
    await receiver.says("broker is unreachable, waiting for it")
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


async def test_it_waits_for_servers_that_have_not_started_yet(stack: Stack) -> None:
    stack.broker.stop()
    stack.redis_server.stop()
    receiver = stack.start("receiver")
    await receiver.says("redis is unreachable, waiting for it")
    stack.redis_server.start()
    await receiver.says("broker is unreachable, waiting for it")
    stack.broker.start()
    await receiver.ready()
    assert "Traceback" not in receiver.log
    assert receiver.stop() == 0


async def test_an_append_only_file_that_is_switched_off_at_run_time(stack: Stack) -> None:
    """The promise changes, and the batch that was being confirmed is not appended again."""
    receiver = await stack.receiver()
    await stack.publish(telem(second=1))
    await eventually(lambda: has_in_all(stack, 1, 1))
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


@pytest.mark.long
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_two_receivers_with_one_client_id_log_it_once_and_work(stack: Stack, protocol: str) -> None:
    """Each throws the other out: not in a tight loop, and what comes in is appended all the same."""
    url = stack.broker.url if protocol == "3.1.1" else getattr(stack.broker, "v5_url", None) or stack.broker.url
    receivers = [stack.start("receiver", MQTT_PROTOCOL=protocol, MQTT_URL=url) for _ in range(2)]
    line = "another client probably uses this client id, traksense-receiver"
    await eventually(lambda: any(line in receiver.log for receiver in receivers))
    for second in range(5):
        await stack.publish(telem(second=second))
        await pause(0.6)
    await eventually(lambda: has_in_all(stack, 1, 5))
    for receiver in receivers:
        assert receiver.log.count(line) <= 1
        assert len(receiver.log.splitlines()) < 40, receiver.log
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
        assert "the broker ended the connection: Session taken over (0x8E)" in receiver.log
        await eventually(lambda: receiver.log.count("broker is unreachable") >= 2)
        assert receiver.log.count(line) == 1
        assert receiver.stop() == 0
