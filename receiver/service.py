"""The receiver: connections to the broker, one after another, each forwarded shard by shard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from aiomqtt import MqttError
from redis.asyncio import Redis

from receiver.acknowledge import Acknowledgements
from receiver.append import COMMANDS, Appender
from receiver.connection import Connection, connect, subscriptions
from receiver.durability import Durability
from receiver.forward import forward
from receiver.inbox import Inbox
from receiver.message import Message
from receiver.presence import Presence
from receiver.reconnect import Reconnect
from receiver.wire import Deliver
from shared import stream
from shared.config import Settings, redacted
from shared.failure import describe, is_hopeless
from shared.health import Component, Health, HealthServer
from shared.metrics import ReceiverMetrics
from shared.outage import Misconfigured, first_contact
from shared.service import run_until, turning, unless_stopped
from shared.tasks import end_if_cancelled, raise_sole_error

log = logging.getLogger(__name__)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run a receiver until `stop`. Raises Misconfigured when it can't ever start."""
    metrics = ReceiverMetrics()
    metrics.queue_max.set(settings.ingest_queue_max)
    broker, redis = f"MQTT_URL={redacted(settings.mqtt_url)}", f"REDIS_URL={redacted(settings.redis_url)}"
    health = Health(metrics, {"broker": broker, "redis": redis})
    port = 9100 if settings.metrics_port is None else settings.metrics_port
    async with AsyncExitStack() as lifetimes:
        server = lifetimes.enter_context(HealthServer(settings.metrics_host, port, metrics, health))
        log.info("receiver: metrics on port %d", server.port)
        await lifetimes.enter_async_context(turning(health))
        client = await lifetimes.enter_async_context(stream.connect(settings.redis_url))
        contact = first_contact(health.components["redis"], "REDIS_URL", partial(_ask, settings, client))
        if durability := await unless_stopped(stop, contact):
            receiver = Receiver(settings, client, durability, health, metrics)
            lifetimes.push_async_callback(receiver.aclose)
            await run_until(stop, receiver.run(stop), watch(settings, client, health, metrics))


async def _ask(settings: Settings, client: Redis) -> Durability:
    """What Redis promises, and that it lets us do what we have to."""
    durability = Durability(settings.ingest_durability)
    await durability.ask(client)
    await stream.require(client, settings.ingest_shards, COMMANDS)
    return durability


async def watch(settings: Settings, client: Redis, health: Health, metrics: ReceiverMetrics) -> None:
    """Every second: the backlog, and whether Redis answers though no message comes; and that this receiver is there."""
    presence = Presence(client, settings.mqtt_client_id, health.components["broker"], metrics)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(presence.run(), name="presence")
        tasks.create_task(
            stream.watch_backlog(client, range(settings.ingest_shards), health.components["redis"], metrics),
            name="backlog",
        )


class Receiver:
    """Connects, forwards until the connection is lost, and connects again."""

    def __init__(
        self,
        settings: Settings,
        client: Redis,
        durability: Durability,
        health: Health,
        metrics: ReceiverMetrics,
    ) -> None:
        self._settings = settings
        self._broker: Component = health.components["broker"]
        self._metrics = metrics
        self._appenders = [
            Appender(shard, client, settings.ingest_queue_max, durability, health.components["redis"], metrics)
            for shard in range(settings.ingest_shards)
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until `stop`. Raises Misconfigured when the broker's first answer is a final no."""
        reconnect = Reconnect(self._settings.mqtt_client_id)
        was_connected = False
        while not stop.is_set():
            try:
                await self._receive(stop, reconnect)
            except (MqttError, OSError) as error:
                was_connected = was_connected or self._broker.is_up
                if is_hopeless(error) and not was_connected:
                    raise Misconfigured(f"MQTT_URL: broker: {describe(error)}") from None
                self._broker.down(error)
                await unless_stopped(stop, asyncio.sleep(reconnect.delay(error)))

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        for appender in self._appenders:
            await appender.aclose()

    async def _receive(self, stop: asyncio.Event, reconnect: Reconnect) -> None:
        """One connection: until it is lost or, after `stop`, until what is being appended is acknowledged.

        Forwarding begins before SUBSCRIBE: a session that holds a full in-flight window from the last time
        gives no other answer until some of it is acknowledged.
        """
        inboxes = [Inbox() for _ in self._appenders]
        async with connect(self._settings, self._deliver_to(inboxes)) as connection:
            acknowledgements = Acknowledgements(connection.puback)
            try:
                async with asyncio.TaskGroup() as tasks:
                    for inbox, appender in zip(inboxes, self._appenders, strict=True):
                        tasks.create_task(forward(inbox, appender, acknowledgements), name="forward")
                    lost = tasks.create_task(connection.lost(), name="connection")
                    await self._subscribe(connection)
                    end_if_cancelled()
                    reconnect.subscribed()
                    await stop.wait()
                    for inbox in inboxes:
                        inbox.close()
                    lost.cancel()
            except BaseExceptionGroup as group:
                raise_sole_error(group)

    async def _subscribe(self, connection: Connection) -> None:
        settings, filters = self._settings, subscriptions(self._settings)
        await connection.subscribe(filters, settings.mqtt_qos)
        self._broker.up()
        log.info(
            "connected to %s as %s, subscribed at QoS %d to %s",
            redacted(settings.mqtt_url),
            settings.mqtt_client_id,
            settings.mqtt_qos,
            ", ".join(filters),
        )

    def _deliver_to(self, inboxes: list[Inbox]) -> Deliver:
        received, dropped = self._metrics.received, self._metrics.dropped

        def deliver(messages: Sequence[Message]) -> None:
            received.inc(len(messages))
            for shard, some in _by_shard(messages, len(inboxes)).items():
                dropped.inc(inboxes[shard].put(some))

        return deliver


def _by_shard(messages: Sequence[Message], shards: int) -> dict[int, Sequence[Message]]:
    if shards == 1:
        return {0: messages}
    by_shard: dict[int, list[Message]] = {}
    for message in messages:
        by_shard.setdefault(stream.shard_of(message.topic, shards), []).append(message)
    return dict(by_shard)
