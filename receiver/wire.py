"""The fast path beside paho: many packets a read, many PUBACKs a write. Everything else is left to paho.

It stands between paho and its socket, and takes whole PUBLISH packets out of what was read. Anything else paho reads
itself: from what is left unread, then from the socket. So order, keepalive, errors and unusual packets are handled as
by paho alone. It needs names that paho does not promise: `is_supported` looks for them, and without them every packet
goes through paho. What each part of it saves is in docs/performance.md.
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

from traksense_ingest.receiver.message import Message, publishes

CHUNK = 64 * 1024  # bytes read at a time: some 1,000 of the smallest messages, which take 3 ms
PUBACK = 0x40
_FOUR_BYTES = struct.Struct("!BBH").pack

# What the fast path uses of paho, and the method of paho that uses it: where both are found, it means what it meant.
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


class PahoFastPath:
    """What one connection's paho reads from and acknowledges to; `deliver` gets its messages in the order received.

    Reading, each time that the socket is readable:

                 read CHUNK bytes                whole PUBLISHes are first: deliver
        BETWEEN ─────────────────▶ UNREAD BYTES ◀──────────────────────────────────┐
        PACKETS                     │ │ │ │ └──────────────────────────────────────┘
         ▲ ▲ ▲    no bytes left     │ │ │ │   nothing was read
         │ │ └──────────────────────┘ │ │ └────────────────────▶ LOST: paho reads the same error or end, and closes
         │ │  a packet, by paho alone │ │
         │ └──────────────────────────┘ │  a part of a packet, by paho alone
         │                              ▼
         │    the rest of it       AMID PACKET ◀──────────────────────┐
         └─────────────────────────┘   └──────────────────────────────┘
                                           not all of it: paho reads on from the socket

    UNREAD BYTES: `_unread` is not empty. AMID PACKET: paho's `_in_packet` has a command. LOST: `_error` or `_has_ended`
    is set. By paho alone: its own `loop_read`, which gets its bytes from `_recv`.

    Sending has two states: `_is_cut` is set by the first error, and nothing is sent from then on. Only reading ends the
    connection, after all that has arrived on it.
    """

    def __init__(self, paho: Any, v5: bool, deliver: Deliver, *, is_fast: bool) -> None:
        self._paho = paho
        self._v5 = v5
        self._deliver = deliver
        self._ticket = 0  # the next message's
        self._unread = b""
        self._error: OSError | None = None  # of the last read, for paho to handle
        self._is_cut = False  # sending has failed
        self._has_ended = False  # the broker sends nothing more
        self.is_fast = is_fast
        self._paho.on_message = self._on_message
        if self.is_fast:
            self._receive = paho._sock_recv  # noqa: SLF001  (how paho reads its socket, TLS or not)
            self._transmit = paho._sock_send  # noqa: SLF001  (how it writes to it)
            self._paho.loop_read = self._read
            self._paho._sock_recv = self._recv  # noqa: SLF001  (what is unread comes first)
            self._paho._sock_send = self._send  # noqa: SLF001  (an error must not close the socket)

    def puback(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages, in their order."""
        if self.is_fast and all(message.qos == 1 for message in messages):
            self._send_pubacks(b"".join([_FOUR_BYTES(PUBACK, 2, message.mid) for message in messages]))
        else:
            for message in messages:
                self._paho.ack(message.mid, message.qos)

    @property
    def was_closed(self) -> bool:
        """Whether the broker has closed the connection in order, rather than reset it; True where that isn't known."""
        return not self.is_fast or (self._has_ended and not self._is_cut)

    def _send_pubacks(self, pubacks: bytes) -> None:
        """At once where nothing waits to be sent before; paho sends the rest."""
        sent = 0
        if not self._paho.want_write():
            with suppress(BlockingIOError):
                sent = self._send(pubacks)
        if sent < len(pubacks):
            self._paho._packet_queue(PUBACK, pubacks[sent:], 0, 1)  # noqa: SLF001  (it has no public one)

    def _send(self, data: bytes) -> int:
        """What paho writes to: returns how many bytes were sent.

        Errors are kept from paho: it would close the socket, and what has arrived on it is still to be read. Nothing
        more is sent, and reading comes to the end of the connection by itself.
        """
        if not self._is_cut:
            try:
                return int(self._transmit(data))
            except BlockingIOError:
                raise
            except OSError:
                self._is_cut = True
        return len(data)

    def _read(self) -> MQTTErrorCode:
        """Replaces paho's loop_read: all that has arrived, up to CHUNK."""
        if self._is_amid_packet():
            return self._leave_to_paho()
        try:
            self._unread = self._receive(CHUNK)
            self._has_ended = not self._unread
        except OSError as error:  # kept, since TLS reports an error only once
            self._error = error
        if not self._unread:
            return self._leave_to_paho()  # it gets the same error or the same end, and handles it
        self._paho._last_bytes_received = time.monotonic()  # noqa: SLF001  (for paho's keepalive)
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
        return bool(self._paho._in_packet["command"])  # noqa: SLF001  (nothing else shows it)

    def _leave_to_paho(self) -> MQTTErrorCode:
        return Paho.loop_read(self._paho)

    def _recv(self, size: int) -> bytes:
        """What paho reads from: first what is left unread, then its socket."""
        if error := self._error:
            self._error = None
            raise error
        if not self._unread:
            received = bytes(self._receive(size))
            self._has_ended = not received
            return received
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def _on_message(self, _client: Paho, _userdata: object, message: MQTTMessage) -> None:
        # The topic's bytes as they are: decoding one that isn't UTF-8 would end the connection, again and again.
        topic = message._topic  # noqa: SLF001  (its property decodes)
        payload, now = bytes(message.payload), time.time_ns() // 1_000_000
        self._deliver([Message(topic, payload, now, message.mid, message.qos, self._ticket, message.retain)])
        self._ticket += message.qos > 0


@cache
def is_supported() -> bool:
    """Whether this paho has what the fast path needs; logs one line if not."""
    paho: Any = Paho(CallbackAPIVersion.VERSION2)
    is_whole = all(_is_used(paho, name, method) for name, method in _NEEDED.items())
    if not is_whole:
        log.warning("this version of paho-mqtt is new to the receiver: it works, but takes more CPU a message")
    return is_whole


def _is_used(paho: Any, name: str, method: str) -> bool:
    code = getattr(getattr(paho, method, None), "__code__", None)
    return getattr(paho, name, None) is not None and code is not None and name in code.co_names
