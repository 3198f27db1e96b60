"""PUBLISH packets out of the bytes of a connection, as many as have arrived; whatever else is in them is paho's.

paho takes one packet a turn of the event loop, with three or more calls of recv. A PUBLISH is simple: a byte of flags,
how many bytes follow (a varint), the topic behind its length, at QoS 1 the packet's id, in MQTT 5 properties behind
their length, which we have no use for, and the payload.
"""

from __future__ import annotations

from receiver.message import Message

KIND = 0xF4  # the bits of a first byte that are 0x30 for a PUBLISH at QoS 0 or 1, whatever DUP and RETAIN say
PUBLISH = 0x30


def publishes(data: bytes, v5: bool, received_at: int, ticket: int) -> tuple[list[Message], int]:
    """The messages at the front of `data`, and where the first thing begins that isn't a whole and sound PUBLISH.

    `ticket` is the first message's; `received_at` is in ms since the epoch.
    """
    messages: list[Message] = []
    at = 0
    try:
        while data[at] & KIND == PUBLISH:
            qos = data[at] >> 1 & 1
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
            messages.append(Message(data[begin + 2 : topic_end], data[payload:end], received_at, mid, qos, ticket))
            ticket += qos
            at = end
    except IndexError:
        """The rest is still on its way, or it is malformed: paho will see which."""
    return messages, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer and where it ends; IndexError when it is cut, or longer than four bytes."""
    value = 0
    for place in range(4):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise IndexError
