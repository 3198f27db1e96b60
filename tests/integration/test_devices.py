"""deploy/haproxy/haproxy.cfg on a real HAProxy and a real broker: devices are let in while a receiver is there."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually, pause
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.shared.mqtt_client import Client
from traksense_ingest.shared.streams.keys import key_of

CONFIG = (Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg").read_text()
PAUSE_S = 0.05  # of a device that was refused
# The broker's own listener for it, as EMQX has one: it takes nobody without the PROXY protocol.
LISTENER = """
listen broker-1884
    bind 127.0.0.1:{port} accept-proxy
    retries 0
    server broker 127.0.0.1:{broker}
"""


class Door:
    """HAProxy with the file of docker-compose.yml, and this host's ports in the place of its names."""

    def __init__(self, directory: Path, broker: int, receiver: int) -> None:
        self.port, self.health, listener = free_port(), free_port(), free_port()
        places = {
            r"bind :1883": f"bind 127.0.0.1:{self.port}",
            r"bind 127\.0\.0\.1:8404": f"bind 127.0.0.1:{self.health}",
            r"emqx:1884 send-proxy-v2 resolvers \S+ init-addr \S+": f"127.0.0.1:{listener} send-proxy-v2",
            r"receiver 32 receiver:9101 (.*?) resolvers .*": rf"receiver 2 127.0.0.1:{receiver} \1",
        }
        text = CONFIG
        for pattern, place in places.items():
            text, count = re.subn(pattern, place, text)
            assert count == 1, pattern
        path = directory / "haproxy.cfg"
        path.write_text(text + LISTENER.format(port=listener, broker=broker))
        self.popen = subprocess.Popen(["haproxy", "-W", "-db", "-f", str(path)])

    def client(self, **options: Any) -> Client:
        return Client("127.0.0.1", self.port, timeout=5, **options)

    async def lets_in(self) -> bool:
        """Whether a device can connect."""
        try:
            async with self.client():
                pass
        except aiomqtt.MqttError:
            return False
        return True

    async def is_healthy(self) -> bool:
        """What the health check of its container asks."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.health)
        except OSError:
            return False
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        said = await reader.read()
        writer.close()
        return b" 200 " in said

    def end(self) -> None:
        self.popen.terminate()
        self.popen.wait()


@pytest.fixture
def metrics_port() -> int:
    """Where the receiver is to serve its health."""
    return free_port()


@pytest.fixture
def door(stack: Stack, metrics_port: int, tmp_path: Path) -> Iterator[Door]:
    if not shutil.which("haproxy"):
        pytest.skip("haproxy is not installed here")
    door = Door(tmp_path, stack.broker.port, metrics_port)
    yield door
    door.end()


async def test_devices_are_let_in_while_a_receiver_is_connected(stack: Stack, door: Door, metrics_port: int) -> None:
    await eventually(lambda: is_down(door), "closed while there is no receiver")
    assert not await door.lets_in()
    receiver = receiver_of_a_group(stack, metrics_port)
    await eventually(door.is_healthy, "healthy")
    await eventually(door.lets_in, "open")

    receiver.kill()
    await eventually(lambda: is_down(door), "closed without it")
    assert not await door.lets_in()


@pytest.mark.long
async def test_what_a_broker_acknowledges_after_its_restart_reaches_a_receiver(
    stack: Stack, door: Door, metrics_port: int
) -> None:
    """As after a reboot. No broker here keeps a shared subscription over a restart: what it acknowledges before the
    receiver has subscribed again, nobody gets."""
    receiver = receiver_of_a_group(stack, metrics_port)
    await eventually(door.lets_in, "open")
    device = Device(door)
    publishing = asyncio.create_task(device.publish())
    await eventually(lambda: device.acknowledged, "the device publishes")
    await eventually(stack.backlog)

    receiver.kill()
    refusals = device.refusals
    stack.broker.kill()
    await eventually(lambda: device.refusals > refusals, "the device has read the last PUBACK")
    await eventually(lambda: is_down(door), "closed without the receiver")
    before, refusals = len(device.acknowledged), device.refusals
    stack.broker.start()
    await eventually(lambda: device.refusals > refusals + 10 or len(device.acknowledged) > before + 10)
    receiver_of_a_group(stack, metrics_port)
    await eventually(lambda: len(device.acknowledged) > before + 20, "the device publishes again")
    device.enough = True
    await publishing
    await eventually(lambda: all_there(stack, device.acknowledged[before:]), "all that came after the restart")


async def test_haproxy_ends_every_connection_when_it_is_stopped(stack: Stack, door: Door, metrics_port: int) -> None:
    receiver_of_a_group(stack, metrics_port)
    await eventually(door.lets_in, "open")
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01d")  # CONNECT
    assert await reader.readexactly(4) == b"\x20\x02\x00\x00"  # CONNACK
    door.popen.terminate()
    await eventually(reader.at_eof, "the connection ends")
    assert await reader.read() == b""
    writer.close()


def receiver_of_a_group(stack: Stack, port: int) -> Process:
    return stack.start("receiver", MQTT_SHARED_GROUP="g", METRICS_PORT=port)


async def is_down(door: Door) -> bool:
    return not await door.is_healthy()


class Device:
    """Publishes one message after another, each until its PUBACK is there, and connects again when it has to."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.acknowledged: list[int] = []
        self.refusals = 0
        self.enough = False

    async def publish(self) -> None:
        while not self.enough:
            try:
                await self._publish_while_connected()
            except aiomqtt.MqttError:
                self.refusals += 1
                await pause(PAUSE_S)

    async def _publish_while_connected(self) -> None:
        async with self._door.client() as client:
            while not self.enough:
                number = len(self.acknowledged)
                await client.publish(*telem(second=number), qos=1)
                self.acknowledged.append(number)


async def all_there(stack: Stack, numbers: list[int]) -> bool:
    entries: Any = await stack.redis.xrange(key_of(0))
    payloads = {fields[b"payload"] for _, fields in entries}
    return {telem(second=number)[1] for number in numbers} <= payloads
