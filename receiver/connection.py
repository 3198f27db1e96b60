"""One connection to the broker: connect, subscribe, receive, acknowledge. A new one after each loss.

paho must leave acknowledging to us (aiomqtt would PUBACK before anybody has seen the message), and messages go straight
to the inboxes: aiomqtt's own queue drops what doesn't fit, without a log line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from traksense_ingest.receiver.message import Message
from traksense_ingest.receiver.reconnect import Closed
from traksense_ingest.receiver.wire import Deliver, PahoFastPath, is_supported
from traksense_ingest.shared import mqtt
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import Unusable
from traksense_ingest.shared.mapping.filters import uncovered
from traksense_ingest.shared.messages import shared_by
from traksense_ingest.shared.mqtt_client import Allowed, Client, has_reason
from traksense_ingest.shared.runtime.retry import Backoff
from traksense_ingest.shared.subscription import lowered, require_allowed

SESSION_EXPIRY_S = 86_400  # how long the broker keeps the session of a receiver that is not connected
RECEIVE_MAXIMUM = 2_000  # four batches: one being appended while the next ones gather
KEEPALIVE_S = 10  # a connection that leads nowhere is noticed after twice as long
TIMEOUT_S = 5.0
SUBSCRIBE_TRIES = 5  # over some 1 s
IF_NEW = 1  # MQTT 5's Retain Handling: send retained messages at subscribe only if the subscription did not exist


class Connection:
    """A connected client, which acknowledges messages only by `puback`."""

    def __init__(self, client: Client, wire: PahoFastPath, *, is_v5: bool) -> None:
        self._client = client
        self._wire = wire
        self._is_v5 = is_v5

    def puback(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages, in their order."""
        self._wire.puback(messages)

    @property
    def allowed(self) -> Allowed:
        """What the broker allows."""
        return self._client.allowed

    @property
    def is_lost(self) -> bool:
        """Whether it has ended."""
        return self._client.is_lost

    async def subscribe(self, filters: Sequence[str], qos: int) -> list[str]:
        """Subscribe to the filters; returns those that the broker grants at a lower QoS.

        With MQTT 5 the broker sends what it has retained only for those that the session does not have yet.
        Raises Unusable when the broker refuses one again and again. Meanwhile what the session holds is delivered,
        which some brokers need: mochi takes SUBSCRIBE's packet id for that of a message in flight.
        """
        require_allowed(self._client.allowed, filters)
        backoff = Backoff()
        for _ in range(SUBSCRIBE_TRIES - 1):
            try:
                return await self._subscribe_once(filters, qos)
            except Unusable as error:
                if error.is_final:
                    raise
                await asyncio.sleep(backoff.delay())
        return await self._subscribe_once(filters, qos)

    async def _subscribe_once(self, filters: Sequence[str], qos: int) -> list[str]:
        codes = await self._client.subscribe(
            [(name, SubscribeOptions(qos, retainHandling=IF_NEW)) for name in filters]
            if self._is_v5
            else [(name, qos) for name in filters]
        )
        return lowered(filters, qos, codes)

    async def unsubscribe(self, filters: Sequence[str], timeout_s: float) -> None:
        """Unsubscribe from the filters; one that was not subscribed to is no error.

        A packet for each, since rumqttd answers a packet as often as it has filters; and for one that was not
        subscribed to it never answers. Raises MqttError when the connection is lost or it takes longer.
        """
        try:
            await asyncio.gather(*(self._client.unsubscribe(name, timeout=timeout_s) for name in filters))
        except aiomqtt.MqttError:
            if self._client.is_lost:
                raise
            raise aiomqtt.MqttError(f"no answer to UNSUBSCRIBE within {timeout_s:g} s") from None

    async def lost(self) -> NoReturn:
        """Wait until the connection is lost, and raise MqttError then, with the broker's reason if it gave one.

        If the broker has closed it in order and without a reason, that is Closed.
        """
        try:
            await self._client.lost()
        except aiomqtt.MqttError as error:
            if self._wire.was_closed and not has_reason(error):
                raise Closed(str(error)) from None
            raise


@asynccontextmanager
async def connect(settings: Settings, deliver: Deliver) -> AsyncIterator[Connection]:
    """A connection with a persistent session, closed at the end; raises MqttError when there is none.

    Hands all messages to `deliver`, some at a time, in the order received, in the event loop; the first ones may arrive
    before SUBSCRIBE: what the session held while nobody was connected.
    """
    client = _client(settings)
    paho = client.paho
    paho.manual_ack_set(True)
    paho.disable_logger()  # it formats several lines a message, for nobody
    is_v5 = mqtt.is_v5(settings)
    wire = PahoFastPath(paho, is_v5, deliver, is_fast=is_supported())
    async with client:
        yield Connection(client, wire, is_v5=is_v5)


def subscriptions(settings: Settings, of_mappings: Sequence[str]) -> list[str]:
    """The topic filters to subscribe to, shared when receivers form a group: MQTT_TOPICS and those of the mappings."""
    return shared_by(uncovered([*settings.mqtt_topics, *of_mappings]), settings.mqtt_shared_group)


def _client(settings: Settings) -> Client:
    session: dict[str, Any] = {"clean_session": False}
    if mqtt.is_v5(settings):
        session = {"clean_start": False, "properties": _session()}
    return mqtt.client(settings, settings.mqtt_client_id, keepalive=KEEPALIVE_S, timeout=TIMEOUT_S, **session)


def _session() -> Properties:
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval = SESSION_EXPIRY_S
    session.ReceiveMaximum = RECEIVE_MAXIMUM
    return session
