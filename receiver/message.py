"""A message as MQTT delivered it, and the PUBLISH packets that have arrived of a connection.

paho takes one packet at a time out of a socket, with three or more calls of recv. A PUBLISH is simple: a byte of flags,
how many bytes follow (a varint), the topic behind its length, at QoS 1 the packet's id, in MQTT 5 properties behind
their length, which are not used, and the payload. Whatever else arrives is left to paho.
"""

from __future__ import annotations

from typing import NamedTuple

KIND = 0xF4  # the bits of a first byte that are 0x30 for a PUBLISH at QoS 0 or 1, whatever DUP and RETAIN are
PUBLISH = 0x30
RETAIN = 0x01


class Message(NamedTuple):
    """One PUBLISH. `ticket` is its number among those of its connection that need a PUBACK; QoS 0 needs none.

    `retained` is its RETAIN flag: the broker sends what it has kept of the topic, not what a device has just published.
    """

    topic: bytes
    payload: bytes
    received_at: int  # ms since the epoch
    mid: int
    qos: int
    ticket: int
    retained: bool = False


def publishes(data: bytes, v5: bool, received_at: int, ticket: int) -> tuple[list[Message], int]:
    """The messages at the front of `data`, and where the first thing begins that isn't a whole and well-formed PUBLISH.

    `ticket` is the first message's; `received_at` is in ms since the epoch.
    """
    messages: list[Message] = []
    at = 0
    try:
        while (flags := data[at]) & KIND == PUBLISH:
            qos = flags >> 1 & 1
            size, begin = (data[at + 1], at + 2) if data[at + 1] < 0x80 else _varint(data, at + 1)
            end = begin + size
            topic_end = begin + 2 + (data[begin] << 8 | data[begin + 1])
            payload = topic_end + 2 * qos
            if v5:
                length, properties = (data[payload], payload + 1) if data[payload] < 0x80 else _varint(data, payload)
                payload = properties + length
            if not begin + 2 < topic_end <= payload <= end <= len(data):
                break
            mid = data[topic_end] << 8 | data[topic_end + 1] if qos else 0
            topic = data[begin + 2 : topic_end]
            messages.append(Message(topic, data[payload:end], received_at, mid, qos, ticket, flags & RETAIN == RETAIN))
            ticket += qos
            at = end
    except IndexError:
        """The rest has not arrived yet, or is malformed: paho finds out which."""
    return messages, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer and where it ends; IndexError when it is cut, or longer than four bytes."""
    value = 0
    for index in range(4):
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise IndexError
