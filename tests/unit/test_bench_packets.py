"""The load generator's packets are those of a client library, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from paho.mqtt.client import Client as Paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from bench import packets
from bench.packets import V5, V311, Refused, pubacks
from bench.shape import Message

PROTOCOLS = {V311: MQTTProtocolVersion.MQTTv311, V5: MQTTProtocolVersion.MQTTv5}


class Socket:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.sent = b""

    def send(self, data: bytes) -> int:
        self.sent += bytes(data)
        return len(data)

    def close(self) -> None: ...


def paho(protocol: str, clean: bool = True) -> tuple[Paho, Socket]:
    socket: Any = Socket()
    clean_session = None if protocol == V5 else clean
    client = Paho(CallbackAPIVersion.VERSION2, "bench-1", clean_session, protocol=PROTOCOLS[protocol])
    client._sock = socket
    return client, socket


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("clean", [True, False])
def test_connect(protocol: str, clean: bool) -> None:
    client, socket = paho(protocol, clean)
    client._keepalive = packets.KEEPALIVE_S
    if protocol == V5:
        client._clean_start = clean
        client._connect_properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        if not clean:
            client._connect_properties.SessionExpiryInterval = packets.SESSION_EXPIRY_S
    client._send_connect(packets.KEEPALIVE_S)
    assert packets.connect(protocol, "bench-1", clean=clean) == socket.sent


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_subscribe(protocol: str) -> None:
    client, socket = paho(protocol)
    topic = b"traksense/+/+/+/telem"
    client._send_subscribe(False, [(topic, SubscribeOptions(qos=1) if protocol == V5 else 1)])
    assert packets.subscribe(protocol, topic.decode()) == socket.sent


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("size", [0, 1, 90, 127, 128, 16_383, 16_384, 3_000_000])
def test_publish(protocol: str, size: int) -> None:
    client, socket = paho(protocol)
    client._send_publish(258, b"traksense/t/s/d/telem", b"x" * size, 1)
    properties = b"" if protocol == V5 else None
    assert packets.publish(b"traksense/t/s/d/telem", b"x" * size, 258, properties=properties) == socket.sent


def test_ids_begin_again_after_the_last_one() -> None:
    ids = [packet[5:7] for packet in packets.published(V311, [Message(b"t", b"")] * (packets.IDS + 1))]
    assert (ids[0], ids[-2], ids[-1]) == (b"\x00\x01", b"\xff\xff", b"\x00\x01")


def test_pubacks_are_counted_however_they_are_cut() -> None:
    for lengths in (b"\x40\x02\x00\x01", b"\x40\x03\x00\x01\x10", b"\x40\x04\x00\x01\x00\x00"):
        data = b"\x40\x02\x00\x07" * 3 + lengths * 5 + b"\x40\x02\x00\x07" * 3
        for cut in range(len(data)):
            first, rest = pubacks(data[:cut])
            second, left = pubacks(rest + data[cut:])
            assert (first + second, left) == (11, b"")


@pytest.mark.parametrize("answer", [b"\x40\x03\x00\x01\x97", b"\xe0\x00", b"\x40\x02\x00\x01\xd0\x00"])
def test_anything_but_a_puback_is_an_error(answer: bytes) -> None:
    with pytest.raises(Refused):
        pubacks(answer)
