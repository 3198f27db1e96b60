"""One connection to the broker: connect, subscribe, receive, acknowledge. A new one after each loss.

With `wire.py`, the only module that knows aiomqtt's wrapped paho client. paho must leave acknowledging to us
(aiomqtt would PUBACK before anybody has seen the message), and messages go straight to the inboxes:
aiomqtt's own queue drops what doesn't fit, without a word.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
from paho.mqtt import properties
from paho.mqtt.client import Client as Paho
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from receiver.message import Message
from receiver.wire import Deliver, Wire, is_there
from shared import mqtt
from shared.config import Settings

SESSION_EXPIRY_S = 86_400  # how long the broker keeps the session of a receiver that is away
RECEIVE_MAXIMUM = 2_000  # four batches: one being appended while the next ones gather
KEEPALIVE_S = 10  # a connection that leads nowhere is noticed after twice as long
TIMEOUT_S = 5.0
REFUSED = 0x80  # from here on a SUBACK's reason code is a refusal


class Connection:
    """A connected client that acknowledges only what it is told to."""

    def __init__(self, client: aiomqtt.Client, wire: Wire) -> None:
        self._client = client
        self._wire = wire

    def puback(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages, in their order."""
        self._wire.puback(messages)

    async def subscribe(self, filters: list[str], qos: int) -> None:
        """Subscribe to the filters; raises MqttCodeError when the broker refuses one."""
        codes = await self._client.subscribe([(name, qos) for name in filters])
        for code in codes:
            if (code if isinstance(code, int) else code.value) >= REFUSED:
                raise aiomqtt.MqttCodeError(code if isinstance(code, ReasonCode) else None, "SUBSCRIBE refused")

    async def lost(self) -> None:
        """Wait until the connection is lost, and raise MqttError then, with the broker's reason where it gave one."""
        try:
            async for _ in self._client.messages:
                """Never: messages go to the inbox, so all that this iterator can tell is the disconnection."""
        except aiomqtt.MqttError as error:
            if isinstance(error.__cause__, aiomqtt.MqttError):
                raise error.__cause__ from None
            raise


@asynccontextmanager
async def connect(settings: Settings, deliver: Deliver) -> AsyncIterator[Connection]:
    """A connection with a persistent session, closed at the end; raises MqttError when there is none.

    Hands all messages to `deliver`, some at a time, in the order received, in the event loop; the first ones may arrive
    before SUBSCRIBE: what the session held while nobody was connected.
    """
    client = _client(settings)
    paho = _paho_of(client)
    paho.manual_ack_set(True)
    paho.disable_logger()  # it formats several lines a message, for nobody
    wire = Wire(paho, mqtt.is_v5(settings), deliver, is_fast=is_there())
    try:
        async with client:
            yield Connection(client, wire)
    finally:
        _retrieve_loss(client)


def subscriptions(settings: Settings) -> list[str]:
    """The topic filters to subscribe to, shared when receivers form a group."""
    group = settings.mqtt_shared_group
    return [f"$share/{group}/{name}" if group else name for name in settings.mqtt_topics]


def _client(settings: Settings) -> aiomqtt.Client:
    session: dict[str, Any] = {"clean_session": False}
    if mqtt.is_v5(settings):
        session = {"clean_start": False, "properties": _session()}
    return mqtt.client(settings, settings.mqtt_client_id, keepalive=KEEPALIVE_S, timeout=TIMEOUT_S, **session)


def _session() -> Properties:
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval = SESSION_EXPIRY_S
    session.ReceiveMaximum = RECEIVE_MAXIMUM
    return session


def _read_text(buffer: bytes, limit: int) -> tuple[str, int]:
    """A text property: paho ends the connection for one with U+FEFF, which a broker may forward [MQTT-1.5.4-3]. The
    session would bring the message again at each reconnect. We use no property of a message: any text will do."""
    length = int.from_bytes(buffer[:2], "big")
    if limit < 2 + length:
        raise MalformedPacket("text beyond the end of the properties")
    return buffer[2 : 2 + length].decode(errors="replace"), 2 + length


properties.readUTF = _read_text


def _retrieve_loss(client: aiomqtt.Client) -> None:
    """Look at how the connection ended, where nobody has: asyncio logs an error that was never looked at."""
    disconnected = client._disconnected
    if disconnected.done() and not disconnected.cancelled():
        disconnected.exception()


def _paho_of(client: aiomqtt.Client) -> Paho:
    return client._client
