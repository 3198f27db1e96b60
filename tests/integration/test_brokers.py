"""Brokers that are not Mosquitto or EMQX: what they lack, refuse and allow is logged in one line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiomqtt import MqttError

from tests.support.aedes import Aedes
from tests.support.brokers import Configured, needs_aedes, needs_mosquitto, stack_on
from tests.support.scripted_broker import (
    NO_SHARED_SUBSCRIPTIONS,
    NO_WILDCARDS,
    SESSION_EXPIRY,
    ScriptedBroker,
    scripted,
)
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.embedded.debian import Mosquitto
from traksense_ingest.receiver import group_check
from traksense_ingest.receiver.connection import connect
from traksense_ingest.receiver.service import serve
from traksense_ingest.shared.config import Settings, load


def _hex(value: int | str) -> str:
    return f"0x{value:02X}" if isinstance(value, int) else ""


NO_SHARE = "the broker does not seem to know shared subscriptions"


@pytest.fixture
async def alone(services: Services, tmp_path: Path) -> AsyncIterator[Stack]:
    """For receivers on a broker that is none of `services`: MQTT_URL is still to be given."""
    with services.redis(tmp_path) as redis:
        stack = Stack(redis, redis, "", tmp_path)
        yield stack
        await stack.close()


@asynccontextmanager
async def receiving(settings: Settings) -> AsyncIterator[None]:
    """A receiver in this process, so that a test can be quicker than its constants."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, stop))
    yield
    stop.set()
    await task


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_check, "QUIET_S", 0.2)
    monkeypatch.setattr(group_check, "SILENCE_S", 1.0)


async def publish_until(stack: Stack, condition: object) -> None:
    numbers = iter(range(100_000))

    async def once() -> bool:
        await stack.publish(telem(second=next(numbers)))
        return bool(condition())  # type: ignore[operator]

    await eventually(once)


@needs_aedes
@pytest.mark.usefixtures("impatient")
async def test_a_group_on_a_broker_without_shared_subscriptions_is_reported_once(
    services: Services, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stack_on(Aedes(tmp_path, free_port()), services, database, tmp_path) as stack:
        settings = load(
            mqtt_url=stack.broker.url, redis_url=stack.redis_server.url, mqtt_shared_group="g", metrics_port=0
        )
        async with receiving(settings):
            await publish_until(stack, lambda: NO_SHARE in caplog.text)
            await publish_until(stack, lambda: True)
    assert caplog.text.count(NO_SHARE) == 1
    assert "unset MQTT_SHARED_GROUP" in caplog.text


@needs_mosquitto
@pytest.mark.usefixtures("impatient")
async def test_a_group_whose_other_member_gets_all_is_not_suspected(
    services: Services, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_check.GroupCheck, "_has_received", lambda _: False)  # as if all went to the other one
    ended = asyncio.Event()
    run = group_check.GroupCheck.run

    async def run_and_signal(check: group_check.GroupCheck) -> None:
        await run(check)
        ended.set()

    monkeypatch.setattr(group_check.GroupCheck, "run", run_and_signal)
    async with stack_on(Mosquitto(tmp_path / "broker", free_port()), services, database, tmp_path) as stack:
        settings = load(
            mqtt_url=stack.broker.url, redis_url=stack.redis_server.url, mqtt_shared_group="g", metrics_port=0
        )
        async with receiving(settings):
            await publish_until(stack, ended.is_set)
    assert NO_SHARE not in caplog.text


@needs_aedes
async def test_a_broker_that_does_not_know_mqtt_5_is_named(services: Services, database: str, tmp_path: Path) -> None:
    async with stack_on(Aedes(tmp_path, free_port()), services, database, tmp_path) as stack:
        receiver = stack.start("receiver", MQTT_PROTOCOL="5")
        assert await asyncio.to_thread(receiver.wait) == 2
    assert "does it know MQTT 5, as MQTT_PROTOCOL says?" in receiver.log


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_a_broker_that_hangs_up_again_and_again_gets_a_hint(alone: Stack, protocol: str) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        receiver = alone.start("receiver", MQTT_URL=url, MQTT_PROTOCOL=protocol)
        other = "5" if protocol == "3.1.1" else "3.1.1"
        await receiver.says(f"perhaps it does not know MQTT {protocol} (MQTT_PROTOCOL={other})")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0x87, "Not authorized (0x87)"),
        (0x8F, "Topic filter invalid (0x8F)"),
        (0x9E, "Shared subscription not supported (0x9E)"),
        (0xA2, "Wildcard subscription not supported (0xA2)"),
    ],
    ids=_hex,
)
async def test_a_refusal_that_waiting_cannot_change_ends_it(alone: Stack, code: int, reason: str) -> None:
    async with scripted(ScriptedBroker(lambda _: bytes([1, code]))) as broker:
        receiver = alone.start("receiver", MQTT_URL=broker.url, MQTT_PROTOCOL="5", MQTT_TOPICS="good/+,bad/+")
        assert await asyncio.to_thread(receiver.wait) == 2
    assert f"it refuses to subscribe to bad/+: {reason}" in receiver.log
    assert "good/+" not in receiver.log
    assert "unreachable" not in receiver.log


@pytest.mark.parametrize(
    ("code", "reason"), [(0x91, "Packet identifier in use (0x91)"), (0x97, "Quota exceeded (0x97)")], ids=_hex
)
async def test_a_refusal_that_may_pass_is_waited_for(alone: Stack, code: int, reason: str) -> None:
    refusals = 8
    broker = ScriptedBroker(lambda number: b"\x01\x01" if number >= refusals else bytes([1, code]))
    async with scripted(broker):
        receiver = await alone.receiver(MQTT_URL=broker.url, MQTT_PROTOCOL="5", MQTT_TOPICS="good/+,bad/+")
    assert broker.subscribed > refusals
    assert receiver.log.count(f"it refuses to subscribe to bad/+: {reason}") == 1
    assert "can't be used" in receiver.log
    assert "unreachable" not in receiver.log


@pytest.mark.parametrize(
    ("properties", "variables", "reason"),
    [
        (NO_SHARED_SUBSCRIPTIONS, {"MQTT_SHARED_GROUP": "g"}, "unset MQTT_SHARED_GROUP"),
        (NO_WILDCARDS, {"MQTT_TOPICS": "plain,a/+"}, "it allows no wildcards in a subscription, as in a/+"),
    ],
    ids=["shared", "wildcards"],
)
async def test_what_connack_says_that_it_lacks_ends_it(
    alone: Stack, properties: bytes, variables: dict[str, str], reason: str
) -> None:
    async with scripted(ScriptedBroker(properties=properties)) as broker:
        receiver = alone.start("receiver", MQTT_URL=broker.url, MQTT_PROTOCOL="5", **variables)
        assert await asyncio.to_thread(receiver.wait) == 2
    assert reason in receiver.log
    assert broker.subscribed == 0


async def test_a_disconnect_in_the_place_of_a_suback(alone: Stack) -> None:
    async with scripted(ScriptedBroker(disconnect=b"\xe0\x08\x9e\x06\x1f\x00\x03not")) as broker:
        receiver = alone.start("receiver", MQTT_URL=broker.url, MQTT_PROTOCOL="5", MQTT_SHARED_GROUP="g")
        assert await asyncio.to_thread(receiver.wait) == 2
    assert "the broker ended the connection: Shared subscription not supported (0x9E), 'not'" in receiver.log


async def test_a_session_that_is_kept_for_less_is_reported(alone: Stack) -> None:
    async with scripted(ScriptedBroker(properties=SESSION_EXPIRY + (60).to_bytes(4, "big"))) as broker:
        receiver = await alone.receiver(MQTT_URL=broker.url, MQTT_PROTOCOL="5")
    assert receiver.log.count("it keeps this receiver's session for 60 s, not 86400") == 1


@needs_mosquitto
async def test_a_lower_qos_than_asked_for_is_reported(alone: Stack, tmp_path: Path) -> None:
    class OnlyQos0(Configured):
        line = "max_qos 0"

    with OnlyQos0(tmp_path / "broker", free_port()) as broker:
        receiver = await alone.receiver(MQTT_URL=broker.url, MQTT_PROTOCOL="5", MQTT_TOPICS="a/+,b/+")
    assert receiver.log.count("it grants QoS 0 instead of 1 to a/+, b/+") == 1


async def test_an_unsubscribe_that_is_not_answered_is_named() -> None:
    async with scripted(ScriptedBroker()) as broker:
        settings = load(mqtt_url=broker.url, mqtt_protocol="5")
        async with connect(settings, lambda _: None) as connection:
            with pytest.raises(MqttError, match=r"^no answer to UNSUBSCRIBE within 0\.2 s$"):
                await connection.unsubscribe(["a/b"], 0.2)
