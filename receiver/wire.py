"""The seam into paho for speed: many packets a read, many PUBACKs a write. Everything else is left to paho.

It stands between paho and its socket. Whole PUBLISH packets are taken out of what was read; anything else paho reads
itself, from what is left of that and then from the socket. So order, keepalive, errors and odd packets stay what they
are with paho alone. It needs names that paho does not promise: `is_there` looks for them, and without them every packet
goes through paho. What each part earns is in docs/performance.md.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from paho.mqtt.client import Client as Paho
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from receiver.message import Message
from receiver.packets import publishes

CHUNK = 64 * 1024  # bytes a turn of the event loop: some 1,000 of the smallest messages, which take 3 ms
PUBACK = 0x40
_FOUR_BYTES = struct.Struct("!BBH").pack

# What the seam takes from paho, and the method that uses it there: together they tell that it means what it meant.
_NEEDED = {
    "_packet_read": "loop_read",
    "_in_packet": "_packet_read",
    "_last_bytes_received": "_check_keepalive",
    "_packet_queue": "_send_command_with_mid",
    "_sock_recv": "_packet_read",
    "_sock_send": "_packet_write",
}

Deliver = Callable[[Sequence[Message]], None]

log = logging.getLogger(__name__)


class Wire:
    """What one connection's paho reads from and acknowledges to; `deliver` gets its messages in the order received."""

    def __init__(self, paho: Any, v5: bool, deliver: Deliver, *, is_fast: bool) -> None:
        self._paho = paho
        self._v5 = v5
        self._deliver = deliver
        self._ticket = 0  # the next message's
        self._unread = b""
        self._error: OSError | None = None  # that reading met, for paho to meet it
        self.is_fast = is_fast
        self._paho.on_message = self._on_message
        if self.is_fast:
            self._receive = paho._sock_recv
            self._paho.loop_read = self._read
            self._paho._sock_recv = self._recv

    def puback(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages, in their order."""
        if self.is_fast and all(message.qos == 1 for message in messages):
            self._send(b"".join([_FOUR_BYTES(PUBACK, 2, message.mid) for message in messages]))
        else:
            for message in messages:
                self._paho.ack(message.mid, message.qos)

    def _send(self, pubacks: bytes) -> None:
        """At once where nothing waits to be sent before; paho sends the rest, and meets the error if there is one."""
        sent = 0
        if not self._paho.want_write():
            with suppress(OSError):
                sent = self._paho._sock_send(pubacks)
        if sent < len(pubacks):
            self._paho._packet_queue(PUBACK, pubacks[sent:], 0, 1)

    def _read(self) -> MQTTErrorCode:
        """In the place of paho's loop_read: all that has arrived, up to a bound."""
        if self._is_amid_packet():
            return self._leave_to_paho()
        try:
            self._unread = self._receive(CHUNK)
        except OSError as error:  # kept, since what TLS has to say is said once
            self._error = error
        if not self._unread:
            return self._leave_to_paho()  # it meets the same error or the same end, and knows what is to be done
        self._paho._last_bytes_received = time.monotonic()
        return self._take_packets()

    def _take_packets(self) -> MQTTErrorCode:
        rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        self._take_publishes()
        while self._unread and not rc:
            rc = self._leave_to_paho()
            if self._paho.socket() is None:  # what follows a DISCONNECT was never sent
                self._unread = b""
            self._take_publishes()
        return rc

    def _take_publishes(self) -> None:
        messages, end = publishes(self._unread, self._v5, time.time_ns() // 1_000_000, self._ticket)
        if messages:
            self._unread = self._unread[end:]
            self._ticket = messages[-1].ticket + messages[-1].qos
            self._deliver(messages)

    def _is_amid_packet(self) -> bool:
        return bool(self._paho._in_packet["command"])

    def _leave_to_paho(self) -> MQTTErrorCode:
        return Paho.loop_read(self._paho)

    def _recv(self, size: int) -> bytes:
        """What paho reads from: first what is left unread, then its socket."""
        if error := self._error:
            self._error = None
            raise error
        if not self._unread:
            return bytes(self._receive(size))
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def _on_message(self, _client: Paho, _userdata: object, message: MQTTMessage) -> None:
        # The topic's bytes as they are: decoding one that isn't UTF-8 would end the connection, forever.
        topic, payload, now = message._topic, bytes(message.payload), time.time_ns() // 1_000_000
        self._deliver([Message(topic, payload, now, message.mid, message.qos, self._ticket)])
        self._ticket += message.qos > 0


@cache
def is_there() -> bool:
    """Whether this paho has what the seam needs; says so in one line when it has not."""
    paho: Any = Paho(CallbackAPIVersion.VERSION2)
    is_whole = all(_is_used(paho, name, method) for name, method in _NEEDED.items())
    if not is_whole:
        log.warning("this version of paho-mqtt is new to the receiver: it works, but takes more CPU a message")
    return is_whole


def _is_used(paho: Any, name: str, method: str) -> bool:
    code = getattr(getattr(paho, method, None), "__code__", None)
    return getattr(paho, name, None) is not None and code is not None and name in code.co_names
