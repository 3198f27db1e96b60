"""The same conversations with a broker, by the seam and by paho alone; and a paho that has no such seam."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.client import Client as Paho

from bench.packets import puback, publish
from tests.support.certificates import Authority, can_sign
from tests.support.waiting import eventually
from traksense_ingest.receiver import connection, wire
from traksense_ingest.receiver.connection import Connection, connect
from traksense_ingest.receiver.message import Message
from traksense_ingest.receiver.reconnect import Closed
from traksense_ingest.receiver.wire import CHUNK
from traksense_ingest.shared import config

TOPIC = b"traksense/t/s/d/telem"


@pytest.fixture(params=["seam", "paho alone"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(connection, "is_supported", lambda: request.param == "seam")
    return str(request.param)


class Scripted:
    """A broker that sends what a test wants, and records what it receives."""

    def __init__(self, v5: bool) -> None:
        self.v5 = v5
        self.heard = b""
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x03\x00\x00\x00" if self.v5 else b"\x20\x02\x00\x00")
        self._writer = writer
        while data := await reader.read(65536):
            self.heard += data
        writer.close()

    async def say(self, data: bytes) -> None:
        """Send, as one piece where the system lets it be one."""
        assert self._writer
        self._writer.write(data)
        await self._writer.drain()

    def publish(self, payload: bytes, mid: int = 1, qos: int = 1, topic: bytes = TOPIC) -> bytes:
        return publish(topic, payload, mid, qos, properties=b"" if self.v5 else None)


class Receiver:
    """The receiving end: a connection and what came by it."""

    def __init__(self, connection: Connection, messages: list[Message]) -> None:
        self.connection = connection
        self.messages = messages

    async def has(self, count: int) -> list[bytes]:
        """Wait for so many messages; returns their payloads."""
        await eventually(lambda: len(self.messages) >= count, lambda: f"{count} messages, not {len(self.messages)}")
        return [message.payload for message in self.messages]


@asynccontextmanager
async def conversation(v5: bool = False, tls: Authority | None = None) -> AsyncIterator[tuple[Scripted, Receiver]]:
    broker = Scripted(v5)
    messages: list[Message] = []
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0, ssl=_context(tls)) as server:
        port = server.sockets[0].getsockname()[1]
        secure: dict[str, Any] = {"mqtt_tls_ca": str(tls.certificate)} if tls else {}
        url = f"{'mqtts' if tls else 'mqtt'}://127.0.0.1:{port}"
        settings = config.load(mqtt_url=url, mqtt_protocol="5" if v5 else "3.1.1", **secure)
        async with connect(settings, messages.extend) as connected:
            yield broker, Receiver(connected, messages)


def _context(authority: Authority | None) -> ssl.SSLContext | None:
    if authority is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.sign("broker", "IP:127.0.0.1"))
    return context


@pytest.mark.parametrize("v5", [False, True], ids=["3.1.1", "5"])
async def test_a_burst_arrives_in_order_and_is_acknowledged_in_order(path: str, v5: bool) -> None:
    async with conversation(v5) as (broker, receiver):
        await broker.say(b"".join(broker.publish(b"%d" % number, number + 1) for number in range(3000)))
        assert await receiver.has(3000) == [b"%d" % number for number in range(3000)]
        assert [message.ticket for message in receiver.messages] == list(range(3000))
        assert {message.topic for message in receiver.messages} == {TOPIC}
        for begin in range(0, 3000, 700):
            receiver.connection.puback(receiver.messages[begin : begin + 700])
        expected = puback(*range(1, 3001))
        await eventually(lambda: len(broker.heard) >= len(expected))
        assert broker.heard == expected


async def test_large_and_small_ones_mixed_with_what_is_paho_s(path: str) -> None:
    large, pingresp = b"x" * 1_500_000, b"\xd0\x00"
    async with conversation() as (broker, receiver):
        packets = [broker.publish(large, 1), pingresp, broker.publish(b"small", 2), broker.publish(b"q0", qos=0)]
        await broker.say(b"".join(packets * 3))
        assert await receiver.has(9) == [large, b"small", b"q0"] * 3
        assert [message.ticket for message in receiver.messages] == [0, 1, 2, 2, 3, 4, 4, 5, 6]


async def test_a_packet_that_comes_in_two_pieces(path: str) -> None:
    async with conversation() as (broker, receiver):
        data = broker.publish(b"first", 1) + broker.publish(b"second", 2)
        await broker.say(data[:-3])
        await receiver.has(1)
        await broker.say(data[-3:])
        assert await receiver.has(2) == [b"first", b"second"]


async def test_a_topic_that_is_not_utf_8_is_passed_on_as_it_is(path: str) -> None:
    async with conversation() as (broker, receiver):
        await broker.say(broker.publish(b"payload", topic=b"traksense/\xff/s/d/telem"))
        await receiver.has(1)
        assert receiver.messages[0].topic == b"traksense/\xff/s/d/telem"


async def test_qos_2_from_a_broker_that_heeds_no_maximum(path: str) -> None:
    async with conversation() as (broker, receiver):
        await broker.say(broker.publish(b"one", 5) + broker.publish(b"two", 6, qos=2))
        await eventually(lambda: broker.heard == b"\x50\x02\x00\x06", "PUBREC")
        await broker.say(b"\x62\x02\x00\x06" + broker.publish(b"three", 7))
        assert await receiver.has(3) == [b"one", b"two", b"three"]
        receiver.connection.puback(receiver.messages)
        await eventually(
            lambda: broker.heard[4:] == puback(5) + b"\x70\x02\x00\x06" + puback(7), "PUBCOMP in its place"
        )


@pytest.mark.parametrize(
    "packet",
    [b"\x32\x03\x00\x05a", b"\x36\x05\x00\x01a\x00\x01", b"\x30\x80\x80\x80\x80\x01", b"\xf0\x00", b"\xd0\x01\x00"],
    ids=["topic too long", "qos 3", "length too long", "no such type", "pingresp with a body"],
)
async def test_a_malformed_packet_ends_the_connection_after_what_came_before_it(path: str, packet: bytes) -> None:
    async with conversation() as (broker, receiver):
        await broker.say(broker.publish(b"good") + packet + broker.publish(b"never", 2))
        with pytest.raises(aiomqtt.MqttError, match="the connection was lost: Protocol error"):
            await receiver.connection.lost()
        assert await receiver.has(1) == [b"good"]


async def test_the_broker_s_reason_is_reported(path: str) -> None:
    async with conversation(v5=True) as (broker, receiver):
        await broker.say(broker.publish(b"last") + b"\xe0\x01\x8e")
        with pytest.raises(aiomqtt.MqttError, match="Session taken over"):
            await receiver.connection.lost()
        assert await receiver.has(1) == [b"last"]


async def test_the_end_of_the_connection_in_the_middle_of_a_packet(path: str) -> None:
    async with conversation() as (broker, receiver):
        await broker.say(broker.publish(b"whole") + broker.publish(b"cut", 2)[:-1])
        await receiver.has(1)
        assert broker._writer
        broker._writer.close()
        with pytest.raises(aiomqtt.MqttError):
            await receiver.connection.lost()
        assert await receiver.has(1) == [b"whole"]


RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST


@pytest.mark.parametrize("is_reset", [True, False], ids=["reset", "closed"])
async def test_what_has_arrived_is_read_though_nothing_can_be_sent_any_more(
    is_reset: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that dies has sent more than was read, and the next PUBACK fails."""
    monkeypatch.setattr(wire, "CHUNK", 1000)
    async with conversation() as (broker, receiver):
        connected = receiver.connection

        def deliver(messages: Sequence[Message]) -> None:
            receiver.messages.extend(messages)
            connected.puback(messages)

        connected._wire._deliver = deliver
        assert broker._writer
        transport: Any = broker._writer.transport
        transport.write(b"".join(broker.publish(b"%d" % number, number + 1) for number in range(2500)))
        assert not transport.get_write_buffer_size(), "the system has all of it"
        if is_reset:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        transport.abort()
        with pytest.raises(aiomqtt.MqttError) as lost:
            await connected.lost()
        assert await receiver.has(2500) == [b"%d" % number for number in range(2500)]
        assert not (is_reset and isinstance(lost.value, Closed))


async def test_a_connection_that_the_broker_closes_without_a_reason(path: str) -> None:
    async with conversation() as (broker, receiver):
        assert broker._writer
        broker._writer.close()
        with pytest.raises(Closed):
            await receiver.connection.lost()


@pytest.mark.parametrize("reason", [b"\xe0\x00", b"\xe0\x01\x8b"], ids=["normal", "server shutting down"])
async def test_a_connection_that_the_broker_closes_with_a_reason(reason: bytes) -> None:
    async with conversation(v5=True) as (broker, receiver):
        assert broker._writer
        await broker.say(reason)
        broker._writer.close()
        with pytest.raises(aiomqtt.MqttError) as lost:
            await receiver.connection.lost()
        assert not isinstance(lost.value, Closed)


async def test_a_subscription_in_the_middle_of_a_burst(path: str) -> None:
    async with conversation() as (broker, receiver):
        burst = b"".join(broker.publish(b"%d" % number, number + 1) for number in range(100))
        subscribing = asyncio.create_task(receiver.connection.subscribe(["a", "b"], 1))
        await eventually(lambda: broker.heard[:1] == b"\x82", "SUBSCRIBE")
        await broker.say(burst + b"\x90\x04" + broker.heard[2:4] + b"\x01\x01" + burst)
        await subscribing
        assert len(await receiver.has(200)) == 200


@pytest.mark.skipif(not can_sign(), reason="needs openssl")
async def test_tls(path: str, tmp_path: Path) -> None:
    """Records are 16 KiB at most: what OpenSSL has decoded already is in no socket that one could wait for."""
    async with conversation(tls=Authority(tmp_path / "ca")) as (broker, receiver):
        packets = [broker.publish(b"%d " % number + b"x" * (number % 400), number + 1) for number in range(2000)]
        await broker.say(b"".join([*packets, broker.publish(b"y" * (3 * CHUNK), 2001)]))
        payloads = await receiver.has(2001)
        assert [int(payload.split()[0]) for payload in payloads[:2000]] == list(range(2000))
        assert payloads[2000] == b"y" * (3 * CHUNK)
        receiver.connection.puback(receiver.messages)
        await eventually(lambda: broker.heard == puback(*range(1, 2002)))


class Newer(Paho):
    """A paho whose packets are written, read and kept alive by methods of other names."""

    def _renamed(self) -> None:
        """Uses nothing that the seam knows."""


@pytest.mark.parametrize("method", ["loop_read", *sorted(set(wire._NEEDED.values()) - {"loop_read"})])
@pytest.mark.parametrize("how", ["is gone", "does it otherwise"])
async def test_without_the_seam_the_plain_path_is_taken_and_said_once(
    method: str, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wire.is_supported.cache_clear()
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(wire, "Paho", type("Changed", (Newer,), {method: None if how == "is gone" else Newer._renamed}))
        assert not wire.is_supported()
        assert not wire.is_supported()
    assert caplog.text.count("takes more CPU a message") == 1
    async with conversation() as (broker, receiver):
        await broker.say(broker.publish(b"payload"))
        assert await receiver.has(1) == [b"payload"]
        assert receiver.connection._wire.is_fast is False
    wire.is_supported.cache_clear()


async def test_the_seam_is_taken_where_it_is_there() -> None:
    """aiomqtt calls paho's loop_read by its name: one that does not would pass every message through paho."""
    seen: list[Sequence[bytes]] = []
    async with conversation() as (broker, receiver):
        assert receiver.connection._wire.is_fast
        receiver.connection._wire._deliver = lambda messages: seen.append([message.payload for message in messages])
        await broker.say(broker.publish(b"1") + broker.publish(b"2", 2) + broker.publish(b"3", 3))
        await eventually(lambda: sum(map(len, seen)) == 3)
    assert seen[0][:2] == [b"1", b"2"]
