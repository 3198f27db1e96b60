"""Any stream of packets, cut at any places, gives the messages and answers that paho alone gives."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client as Paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench.packets import packet, puback, publish, varint
from tests.support.budget import examples
from tests.support.packets import Pieces
from traksense_ingest.receiver import wire
from traksense_ingest.receiver.message import Message, publishes
from traksense_ingest.receiver.wire import CHUNK, PahoFastPath
from traksense_ingest.shared.mqtt_client import accept_any_text

accept_any_text()

names = st.binary(min_size=1, max_size=200)
payloads = st.binary(max_size=300) | st.sampled_from([b"x" * 127, b"x" * 20_000, b"y" * (CHUNK + 1)])
mids = st.integers(1, 65535)
# A user property, a content type, an expiry, a subscription's number: what brokers forward and what they add.
some_properties = st.lists(
    st.sampled_from(
        [b"\x26\x00\x01k\x00\x03\xef\xbb\xbf", b"\x03\x00\x04json", b"\x02\x00\x00\x00\x3c", b"\x0b\x80\x01"]
    ),
    unique=True,
).map(b"".join)
PAST_127_BYTES = b"\x26\x00\x01k\x00\x90" + b"v" * 0x90


@st.composite
def publish_packets(draw: st.DrawFn, v5: bool) -> bytes:
    properties = draw(some_properties | st.just(PAST_127_BYTES)) if v5 else None
    qos, flags = draw(st.sampled_from([0, 1, 1, 1, 2])), draw(st.sampled_from([0, 1, 8, 9]))
    return publish(draw(names), draw(payloads), draw(mids), qos, flags, properties)


def other_packets(v5: bool) -> st.SearchStrategy[bytes]:
    """PINGRESP, PINGREQ, SUBACK, UNSUBACK, PUBREL of a message that was never begun."""
    some = [b"\xd0\x00", b"\xc0\x00", b"\x62\x02\x00\x07"]
    some += [b"\x90\x04\x00\x01\x00\x01", b"\xb0\x04\x00\x01\x00\x00"] if v5 else [b"\x90\x03\x00\x01\x01"]
    return st.sampled_from(some)


@st.composite
def streams(draw: st.DrawFn, v5: bool) -> list[bytes]:
    """Pieces, as they come off a socket."""
    packets = draw(st.lists(publish_packets(v5) | publish_packets(v5) | other_packets(v5), max_size=12))
    return cut(b"".join(packets), draw(st.lists(st.integers(0, 2**20), max_size=8)))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    pieces = [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    return [piece for piece in pieces if piece]


class Received:
    """What one connection makes of a stream: by the seam, or by paho alone."""

    def __init__(self, pieces: list[bytes], v5: bool, is_fast: bool) -> None:
        self.messages: list[Message] = []
        self.socket = Pieces(pieces)
        protocol = MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311
        paho: Any = Paho(CallbackAPIVersion.VERSION2, protocol=protocol)
        paho._sock = self.socket
        self.paho = paho
        self.paho.manual_ack_set(True)
        self.paho.on_socket_register_write = lambda *_: None
        self.wire = PahoFastPath(self.paho, v5, self.messages.extend, is_fast=is_fast)

    def read_all(self) -> Received:
        while self.socket.pieces and self.paho.socket():
            self.paho.loop_read()
            self.socket.turn()
        self.paho.loop_write()
        return self

    @property
    def seen(self) -> tuple[list[Any], bytes, bool]:
        """The messages but for the clock, what was answered, and whether the connection lives."""
        bare = [message._replace(received_at=0) for message in self.messages]
        return bare, self.socket.sent, self.paho.socket() is not None


def both(pieces: list[bytes], v5: bool) -> tuple[Received, Received]:
    return Received(pieces, v5, is_fast=True).read_all(), Received(pieces, v5, is_fast=False).read_all()


@pytest.mark.parametrize("v5", [False, True])
@settings(max_examples=examples(150), deadline=None)
@given(data=st.data())
def test_cut_at_any_places(v5: bool, data: st.DataObject) -> None:
    fast, plain = both(data.draw(streams(v5)), v5)
    assert fast.seen == plain.seen


@settings(max_examples=examples(250), deadline=None)
@given(streams(v5=False), st.integers(0), st.integers(0, 255))
def test_a_wrong_byte_ends_the_connection_where_paho_ends_it(pieces: list[bytes], place: int, byte: int) -> None:
    data = bytearray(b"".join(pieces))
    if data:
        data[place % min(len(data), 400)] = byte
    fast, plain = both(cut(bytes(data), [len(piece) for piece in pieces]), v5=False)
    assert fast.seen == plain.seen


@settings(deadline=None)
@given(st.binary(max_size=60))
@example(b"\x32\x80\x80\x80\x80\x01")
@example(b"\x32\x03\x00\x05a")
@example(b"\x30\x02\x00\x00")  # no topic
@example(b"\x30\x83\x80\x80\x80\x00\x00\x01t")  # a length of five bytes
@example(b"\x32\x03\x00\x01a\x30\x03\x00\x01b")  # no id, where the next packet has bytes
@example(b"\x30\x00\x30\x00")
def test_any_bytes(data: bytes) -> None:
    fast, plain = both([data], v5=False)
    assert fast.seen == plain.seen


@settings(deadline=None)
@given(st.lists(publish_packets(v5=True).filter(lambda one: not one[0] & 4), max_size=5), st.integers(0))
def test_what_is_left_begins_where_the_first_cut_packet_does(packets: list[bytes], place: int) -> None:
    data = b"".join(packets)
    data = data[: place % (len(data) + 1)]
    whole = [end for end in _ends(packets) if end <= len(data)]
    messages, end = publishes(data, v5=True, received_at=7, ticket=3)
    assert (len(messages), end) == (len(whole), max(whole, default=0))
    assert [message.ticket for message in messages] == [
        3 + sum(earlier.qos for earlier in messages[:number]) for number in range(len(messages))
    ]


def _ends(packets: list[bytes]) -> list[int]:
    return [sum(map(len, packets[: number + 1])) for number in range(len(packets))]


def test_properties_that_paho_refuses_are_no_reason_to_end_the_connection() -> None:
    data = publish(b"t", b"payload", properties=b"\xff\xff\xff")
    (message,), _ = publishes(data, v5=True, received_at=0, ticket=0)
    assert message.payload == b"payload"


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_payload_that_reads_like_packets_is_one_payload_wherever_it_is_cut(is_fast: bool) -> None:
    inner = publish(b"t", b"inner")
    outer = publish(b"t", inner * 3)
    for place in range(len(outer)):
        received = Received([outer[:place], outer[place:]], v5=False, is_fast=is_fast).read_all()
        assert [message.payload for message in received.messages] == [inner * 3]


def test_a_turn_takes_a_bounded_number_of_bytes() -> None:
    one = publish(b"t", b"x" * 100)
    received = Received([one * 5000], v5=False, is_fast=True).read_all()
    assert len(received.messages) == 5000
    assert received.socket.most < CHUNK + len(one), "and the rest of the packet that was cut"


@pytest.mark.parametrize("is_fast", [True, False])
def test_what_comes_keeps_the_connection_alive(is_fast: bool) -> None:
    received = Received([publish(b"t", b"")], v5=False, is_fast=is_fast)
    received.paho._last_bytes_received = 0
    received.read_all()
    assert received.paho._last_bytes_received > 0


class Reset(Pieces):
    """A socket whose other end is gone: it says so once, and from then on that there is nothing more."""

    was_reported = False

    def recv(self, size: int) -> bytes:
        if self.pieces or self.was_reported:
            return super().recv(size)
        self.was_reported = True
        raise ConnectionResetError


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize("kind", [Pieces, Reset])
def test_the_end_is_noticed_in_the_turn_that_it_comes_in(is_fast: bool, kind: type[Pieces]) -> None:
    received = Received([], v5=False, is_fast=is_fast)
    received.paho._sock = kind([publish(b"t", b"last")])
    received.paho.loop_read()
    received.paho._sock.turn()
    assert received.paho.socket() is not None
    received.paho.loop_read()
    assert received.paho.socket() is None
    assert [message.payload for message in received.messages] == [b"last"]


def test_what_follows_a_disconnect_was_never_sent() -> None:
    data = publish(b"t", b"1", properties=b"") + b"\xe0\x01\x8e" + publish(b"t", b"2", properties=b"")
    fast, plain = both([data], v5=True)
    assert [message.payload for message in fast.messages] == [b"1"]
    assert fast.seen == plain.seen


@pytest.mark.parametrize("is_fast", [True, False])
@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.lists(mids, min_size=1, max_size=30), max_size=8), st.lists(st.integers(0, 40), max_size=12))
def test_pubacks_leave_whole_and_in_order_however_little_a_socket_takes(
    is_fast: bool, batches: list[list[int]], split_by_size: list[int]
) -> None:
    received = Received([], v5=False, is_fast=is_fast)
    received.paho._sock = socket = Pieces([], split_by_size)
    expected = b""
    for number, batch in enumerate(batches):
        received.wire.puback([Message(b"t", b"", 0, mid, 1, 0) for mid in batch])
        expected += puback(*batch)
        if number % 3 == 1:
            received.paho._send_pingreq()
            expected += b"\xc0\x00"
        if number % 2:
            received.paho.loop_write()
    while received.paho.want_write():
        received.paho.loop_write()
    assert socket.sent == expected


def test_a_message_at_qos_2_is_completed_as_mqtt_demands() -> None:
    received = Received([], v5=False, is_fast=True)
    received.wire.puback([Message(b"t", b"", 0, 1, 1, 0), Message(b"t", b"", 0, 2, 2, 1)])
    received.paho.loop_write()
    assert received.socket.sent == puback(1) + b"\x70\x02\x00\x02"


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_every_length_of_a_length(size: int) -> None:
    data = packet(0x30, struct.pack("!H", 1) + b"t" + b"x" * size)
    (message,), end = publishes(data, v5=False, received_at=0, ticket=0)
    assert (len(message.payload), end) == (size, len(data))
    assert len(varint(size)) == {0: 1, 127: 1, 128: 2, 16_383: 2, 16_384: 3, 2_097_151: 3, 2_097_152: 4}[size]


def test_this_paho_has_what_the_seam_needs(caplog: pytest.LogCaptureFixture) -> None:
    wire.is_supported.cache_clear()
    assert wire.is_supported()
    assert not caplog.text
