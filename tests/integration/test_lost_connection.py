"""What a receiver holds when its connection to the broker ends, and what it makes of the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.chaos.proxy import Proxy
from tests.support.process import Process
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.embedded.debian import Mosquitto
from traksense_ingest.shared.streams.keys import key_of

COUNT = 200


class Forgetful(Mosquitto):
    """A Mosquitto that keeps all in its memory: killed, it has forgotten sessions and messages."""

    def _prepare(self) -> None:
        super()._prepare()
        config = self._config_path.read_text()
        self._config_path.write_text(config.replace("persistence true", "persistence false"))


@pytest.fixture
async def forgetful(services: Services, database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    if not Forgetful.installed():
        pytest.skip("not installed here: Mosquitto")
    with Forgetful(tmp_path / "mosquitto", free_port()) as broker, services.redis(tmp_path) as redis:
        stack = Stack(broker, redis, database, tmp_path)
        yield stack
        await stack.close()


def message(number: int, device: int = 0) -> tuple[str, bytes]:
    return telem(f"dev{device}", number)[0], b"%d" % number


async def payloads(stack: Stack, shard: int = 0) -> list[int]:
    found: Any = await stack.redis.xrange(key_of(shard))
    return [int(fields[b"payload"]) for _, fields in found]


async def holds(receiver: Process, count: int) -> None:
    await eventually(lambda: receiver.metric("ingest_received_messages_total") >= count, f"{count} received")


async def is_connected_again(receiver: Process, times: int) -> None:
    await eventually(lambda: receiver.log.count("connected to") == times, lambda: receiver.log)


def without_repetitions(numbers: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_what_reached_the_receiver_is_stored_though_the_broker_forgot_it(forgetful: Stack, protocol: str) -> None:
    """Held since Redis can't be reached; the broker dies, comes back empty, and brings more meanwhile."""
    stack = forgetful
    receiver = await stack.receiver(MQTT_PROTOCOL=protocol)
    await stack.redis.aclose()
    stack.redis_server.stop()
    await stack.publish(*(message(number) for number in range(COUNT)))
    await holds(receiver, COUNT)
    stack.broker.kill()
    await receiver.says("broker is unreachable")
    stack.broker.start()
    await is_connected_again(receiver, 2)
    await stack.publish(*(message(number) for number in range(COUNT, 2 * COUNT)))
    await holds(receiver, 2 * COUNT)
    stack.redis_server.start()
    await eventually(lambda: _has(stack, 2 * COUNT), "all are in the stream")
    assert await payloads(stack) == list(range(2 * COUNT)), "in the order in which they came"
    await stack.publish(message(2 * COUNT))
    await eventually(lambda: _has(stack, 2 * COUNT + 1))
    assert receiver.metric("ingest_errors_total", reason="mqtt_error") >= 1
    assert receiver.stop() == 0
    await stack.receiver(MQTT_PROTOCOL=protocol)
    await stack.publish(message(2 * COUNT + 1))
    await eventually(lambda: _has(stack, 2 * COUNT + 2), "and what came by the second connection was acknowledged")


async def _has(stack: Stack, count: int) -> bool:
    return await stack.backlog() == count


async def test_it_is_stored_once_a_full_stream_has_room_again(forgetful: Stack) -> None:
    stack = forgetful
    receiver = await stack.receiver(INGEST_QUEUE_MAX=10)
    await stack.publish(*(telem(second=number) for number in range(50)))
    await receiver.says("ingest:{0} is full")
    await holds(receiver, 50)
    stack.broker.kill()
    stack.broker.start()
    await is_connected_again(receiver, 2)
    await stack.publish(telem(second=50))
    await stack.writer()
    await stack.has_rows("ts_measure", 51)


async def test_over_several_shards_each_keeps_its_order(forgetful: Stack) -> None:
    stack = forgetful
    receiver = await stack.receiver(INGEST_SHARDS=3)
    await stack.redis.aclose()
    stack.redis_server.stop()
    devices = 12
    for first in (0, 20):
        await stack.publish(
            *(message(number, device) for number in range(first, first + 20) for device in range(devices))
        )
        await holds(receiver, (first + 20) * devices)
        stack.broker.kill()
        stack.broker.start()
        await is_connected_again(receiver, 2 + (first > 0))
    stack.redis_server.start()
    await eventually(lambda: _has_of_all(stack, 40 * devices))
    orders: dict[bytes, list[int]] = {}
    for shard in range(3):
        found: Any = await stack.redis.xrange(key_of(shard))
        for _, fields in found:
            orders.setdefault(fields[b"topic"], []).append(int(fields[b"payload"]))
    assert len(orders) == devices
    assert all(order == list(range(40)) for order in orders.values())


async def _has_of_all(stack: Stack, count: int) -> bool:
    return sum([await stack.backlog(shard) for shard in range(3)]) == count


@asynccontextmanager
async def through_a_proxy(stack: Stack) -> AsyncIterator[tuple[Proxy, dict[str, str]]]:
    proxy = Proxy(stack.broker.port, Random(0))
    async with proxy.listening() as port:
        yield proxy, {"MQTT_URL": f"mqtt://127.0.0.1:{port}"}


async def test_a_broker_that_lives_sends_it_again_and_each_is_stored(stack: Stack) -> None:
    """It is held again after each loss of the connection, while Redis can't be reached."""
    async with through_a_proxy(stack) as (proxy, variables):
        receiver = await stack.receiver(**variables)
        await stack.redis.aclose()
        stack.redis_server.stop()
        await stack.publish(*(message(number) for number in range(50)))
        await holds(receiver, 50)
        for times in range(2, 6):
            proxy.abort()
            await is_connected_again(receiver, times)
            await holds(receiver, 50 * times)
        stack.redis_server.start()
        await eventually(lambda: _has(stack, 250), "what each connection brought")
        assert without_repetitions(await payloads(stack)) == list(range(50))
        await stack.publish(message(50))
        await eventually(lambda: _has(stack, 251))
        assert receiver.stop() == 0


@pytest.mark.long
async def test_a_connection_that_is_reset_is_no_other_client(stack: Stack) -> None:
    async with through_a_proxy(stack) as (proxy, variables):
        receiver = await stack.receiver(**variables)
        async with proxy.resets():
            await eventually(lambda: receiver.log.count("connected to") >= 8, lambda: receiver.log)
        await receiver.ready()
        assert "another client" not in receiver.log
        assert receiver.stop() == 0


@pytest.mark.long
async def test_a_stop_does_not_wait_for_what_the_broker_will_send_again(stack: Stack) -> None:
    """Though something of an earlier connection waits as well: the stream is full, and stays so."""
    async with through_a_proxy(stack) as (proxy, variables):
        receiver = await stack.receiver(INGEST_QUEUE_MAX=10, **variables)
        await stack.publish(*(message(number) for number in range(50)))
        await holds(receiver, 50)
        proxy.abort()
        await is_connected_again(receiver, 2)
        assert await asyncio.to_thread(receiver.stop) == 0
        assert await stack.backlog() == 10
        assert "Traceback" not in receiver.log
