"""aiomqtt's client, and what this project needs beside it: what the broker allows, why a connection ended, calls that
end with their connection, and no trace of a socket that is closed.

Names that aiomqtt and paho don't promise are used here, and for the receiver's fast path in `receiver/wire.py`: nowhere
else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import aiomqtt
from paho.mqtt import properties as paho_properties
from paho.mqtt.client import MQTT_LOG_ERR, ConnectFlags, DisconnectFlags
from paho.mqtt.client import Client as Paho
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from traksense_ingest.shared.failure import describe

T = TypeVar("T")


class HungUp(aiomqtt.MqttError):
    """The broker, or a proxy before it, ended the connection without an answer to CONNECT."""


class Ended(aiomqtt.MqttCodeError):
    """The connection ended; `reason` is the broker's where it sent a DISCONNECT, which only MQTT 5 has."""

    def __init__(self, reason: ReasonCode, text: str) -> None:
        super().__init__(reason)
        self._text = text

    def __str__(self) -> str:
        return self._text


@dataclass(frozen=True)
class Allowed:
    """What the broker's CONNACK allows; MQTT 3.1.1 has no words for it, and then all of this counts as allowed."""

    receive_maximum: int = 65_535  # PUBLISHes at QoS 1 without a PUBACK that it takes
    maximum_qos: int = 2
    session_expiry_s: int | None = None  # None: as long as was asked for
    wildcards: bool = True
    shared_subscriptions: bool = True


class Client(aiomqtt.Client):
    """A client for one connection; `allowed` is known once it is connected."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.allowed = Allowed()
        self._error = ""  # that paho met, and reports to its log alone
        self._client.on_log = self._note_error

    @property
    def paho(self) -> Paho:
        """The client that aiomqtt wraps."""
        return self._client

    async def __aenter__(self) -> Self:
        """Connect. Raises HungUp at once when the other side hangs up; aiomqtt waits for its time-out, and then leaves
        the socket open."""
        lost = self._disconnected
        try:
            await super().__aenter__()
            self._disconnected = lost  # aiomqtt forgets a connection that is lost by now: it puts a new future there
            if self.is_lost:
                self.raise_loss()
        except BaseException:
            self._client._sock_close()  # noqa: SLF001  (disconnect() would send a packet first)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; aiomqtt leaves the socket open where what came over it made no sense."""
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            self._client._sock_close()  # noqa: SLF001  (as above)
            if self.is_lost and not self._disconnected.cancelled():
                self._disconnected.exception()  # asyncio logs an error that nobody has read

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended."""
        return self._disconnected.done()

    async def lost(self) -> NoReturn:
        """Wait until the connection is lost, and raise MqttError then, with the broker's reason where it gave one."""
        await asyncio.wait([self._disconnected])
        self.raise_loss()

    def raise_loss(self) -> NoReturn:
        """Raise MqttError with the reason for which the connection has ended."""
        error = self._disconnected.exception()
        if isinstance(error, aiomqtt.MqttError):
            raise error
        raise aiomqtt.MqttError(f"the connection was lost{f': {describe(error)}' if error else ''}") from error

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:
        """The answer to what was sent. As aiomqtt's, but it ends with the connection: no answer comes after that."""
        answer = asyncio.ensure_future(fut)
        limit = self.timeout if timeout is None else timeout
        try:
            await asyncio.wait((answer, self._disconnected), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
        finally:
            if answer is not self._disconnected:
                answer.cancel()
        if self.is_lost:
            self.raise_loss()
        raise aiomqtt.MqttError("Operation timed out")

    def _note_error(self, _client: object, _userdata: object, level: int, text: str) -> None:
        if level == MQTT_LOG_ERR:
            self._error = f": {text}"

    def _on_connect(
        self,
        client: Paho,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        client.on_log = None  # it would be called for every packet
        self.allowed = _allowed(properties)
        # A broker of MQTT 5 hangs up on a client with more in flight than its Receive Maximum.
        most = min(client.max_inflight_messages, self.allowed.receive_maximum)
        client._max_inflight_messages = most  # noqa: SLF001  (the property can't be set while connected)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: Paho,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        waiting = self._disconnected if _is_success(self._connected) else self._connected
        if reason_code.value and not waiting.done():
            waiting.set_exception(self._loss(flags.is_disconnect_packet_from_server, reason_code, properties))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _loss(self, has_packet: bool, reason: ReasonCode, properties: Properties | None) -> aiomqtt.MqttError:
        if has_packet:
            return Ended(reason, f"the broker ended the connection: {reason_of(reason, properties)}")
        if not self._connected.done():
            return HungUp(f"the broker hung up before it answered{self._error}")
        return Ended(reason, f"the connection was lost{'' if reason.value == _UNSPECIFIED else f': {reason}'}")

    def _on_socket_open(self, _client: Paho, _userdata: Any, sock: Any) -> None:
        # Maybe from the thread that connects. By the time that the loop gets to it the socket may be closed, and its
        # number nobody's or that of the next connection: that is why these two are not aiomqtt's.
        self._loop.call_soon_threadsafe(self._begin_reading, sock)

    def _on_socket_register_write(self, _client: Paho, _userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._begin_writing, sock)

    def _begin_reading(self, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.add_reader(sock.fileno(), self._read)
            self._misc_task = self._loop.create_task(self._misc_loop())

    def _begin_writing(self, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), self._write)

    def _read(self) -> None:
        try:
            self._client.loop_read()
            while self._is_more_decrypted():
                self._client.loop_read()
        except Exception as error:
            self._end(error)

    def _is_more_decrypted(self) -> bool:
        """Whether TLS holds decrypted bytes, of which no selector knows."""
        pending = getattr(self._client.socket(), "pending", None)
        return pending is not None and pending() > 0

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as error:
            self._end(error)

    def _end(self, error: Exception) -> None:
        if not self.is_lost:
            self._disconnected.set_exception(error)


_UNSPECIFIED = 0x80  # paho's reason for a connection that ended without a DISCONNECT


def has_reason(error: aiomqtt.MqttError) -> bool:
    """Whether the broker has said why it ended the connection."""
    code = error.rc if isinstance(error, aiomqtt.MqttCodeError) else None
    return isinstance(code, ReasonCode) and code.value != _UNSPECIFIED


def accept_any_text() -> None:
    """Have paho, in this whole process, read any bytes of a text property as text.

    paho ends the connection for text with U+FEFF in it, which a broker may forward [MQTT-1.5.4-3]. The session would
    bring the same message again at each reconnect. No property of a message is used here, so any text will do.
    """
    paho_properties.readUTF = _read_text


def _read_text(buffer: bytes, limit: int) -> tuple[str, int]:
    """Replaces paho's readUTF: the text, and how many bytes it takes."""
    length = int.from_bytes(buffer[:2], "big")
    if limit < 2 + length:
        raise MalformedPacket("text beyond the end of the properties")
    return buffer[2 : 2 + length].decode(errors="replace"), 2 + length


def reason_of(reason: ReasonCode, properties: Properties | None = None) -> str:
    """`Quota exceeded (0x97)`, with the broker's own text about it."""
    own = getattr(properties, "ReasonString", "")
    return f"{reason} (0x{reason.value:02X}){f', {own!r}' if own else ''}"


def _is_success(future: asyncio.Future[None]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _allowed(properties: Properties | None) -> Allowed:
    """From CONNACK's properties; what isn't there is as MQTT 5 has it by default."""
    default = Allowed()
    return Allowed(
        receive_maximum=getattr(properties, "ReceiveMaximum", default.receive_maximum),
        maximum_qos=getattr(properties, "MaximumQoS", default.maximum_qos),
        session_expiry_s=getattr(properties, "SessionExpiryInterval", default.session_expiry_s),
        wildcards=bool(getattr(properties, "WildcardSubscriptionAvailable", default.wildcards)),
        shared_subscriptions=bool(getattr(properties, "SharedSubscriptionAvailable", default.shared_subscriptions)),
    )
