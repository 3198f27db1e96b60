"""The receiver: connections to the broker, one after another, each forwarded shard by shard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from traksense_ingest.receiver.append import COMMANDS, Appender
from traksense_ingest.receiver.connection import Connection, connect, subscriptions
from traksense_ingest.receiver.durability import Durability, Guarantee
from traksense_ingest.receiver.filters import Filters, Topics, topics_of
from traksense_ingest.receiver.group_check import GroupCheck
from traksense_ingest.receiver.heartbeat import Heartbeat
from traksense_ingest.receiver.hints import Hints
from traksense_ingest.receiver.intake import Intake
from traksense_ingest.receiver.leave import check_gone, drained, end_session, forget
from traksense_ingest.receiver.message import Message
from traksense_ingest.receiver.reconnect import Reconnect
from traksense_ingest.receiver.subscriber import Subscriber
from traksense_ingest.shared import mqtt
from traksense_ingest.shared.config import Settings, redacted
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.failure import BROKER_ERRORS, Unusable, is_permanent
from traksense_ingest.shared.mapping.reload import Check, LiveMappings, is_read
from traksense_ingest.shared.messages import RETAINED
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.ports import RECEIVER_METRICS
from traksense_ingest.shared.runtime.health import Component, Health
from traksense_ingest.shared.runtime.health_server import HealthServer
from traksense_ingest.shared.runtime.retry import wait_until_reachable
from traksense_ingest.shared.runtime.service import event_loop_heartbeat, run_until, unless_stopped
from traksense_ingest.shared.runtime.tasks import end_if_cancelled, raise_sole_error
from traksense_ingest.shared.streams import client as stream
from traksense_ingest.shared.streams.client import Clients
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.shared.streams.redis_url import Kind, RedisUrl
from traksense_ingest.shared.streams.shard_count import ShardCount
from traksense_ingest.shared.subscription import is_shared

UNSUBSCRIBE_S = 30.0  # a session that holds a full in-flight window answers only when some of it is acknowledged

log = logging.getLogger(__name__)


async def serve(settings: Settings, stop: asyncio.Event, *, leaving: bool = False, check: Check = is_read) -> None:
    """Run a receiver until `stop` or, leaving for good, until its session is empty and has ended.

    `check` refuses mappings before they are used. Raises ConfigurationError when it can't ever start.
    """
    metrics = ReceiverMetrics()
    mappings = LiveMappings(settings.ingest_mappings, check, topics_of, metrics)
    metrics.queue_max.set(settings.ingest_queue_max)
    broker, redis = f"MQTT_URL={redacted(settings.mqtt_url)}", f"REDIS_URL={redacted(settings.redis_url)}"
    health = Health(metrics, {"broker": broker, "redis": redis})
    usual = 0 if leaving else RECEIVER_METRICS.default  # beside the receivers that stay
    port = usual if settings.metrics_port is None else settings.metrics_port
    async with AsyncExitStack() as lifetimes:
        lifetimes.enter_context(mappings.reloaded_at_hangup())
        server = lifetimes.enter_context(HealthServer(settings.metrics_host, port, metrics, health))
        log.info("receiver: metrics on port %d", server.port, extra={"port": server.port})
        await lifetimes.enter_async_context(event_loop_heartbeat(health))
        clients = await lifetimes.enter_async_context(stream.connect(settings.redis_url))
        may_fail_over = RedisUrl.parse(settings.redis_url).kind is not Kind.SERVER
        durability = Durability(settings.ingest_durability, settings.ingest_replicas, may_fail_over=may_fail_over)
        filters = Filters(clients, settings.mqtt_client_id, subscriptions(settings, mappings.prepared.filters))
        receiver = Receiver(settings, clients, filters, mappings, durability, health, metrics, leaving=leaving)
        lifetimes.push_async_callback(receiver.aclose)
        ask = partial(_ask, settings, clients, durability, filters)
        start = unless_stopped(stop, wait_until_reachable(health.components["redis"], "REDIS_URL", ask))
        if leaving:
            if not await start:
                return
            await check_gone(clients, settings.mqtt_client_id)  # before the first heartbeat of this one
        heartbeat = Heartbeat(
            clients, settings.mqtt_client_id, settings.ingest_shards, health.components, mappings, metrics
        )
        async with heartbeat.sent():
            if leaving or await start:
                await run_until(stop, receiver.run(stop), watch(settings, clients, mappings, receiver, health, metrics))
        if receiver.has_left:
            await forget(clients, settings.mqtt_client_id, filters)


async def _ask(settings: Settings, clients: Clients, durability: Durability, filters: Filters) -> Guarantee:
    """What Redis guarantees, once it allows what a receiver needs; reads what was subscribed before."""
    await stream.require(clients, settings.ingest_shards, COMMANDS + durability.commands)
    async with clients.of(key_of(0)).client() as client:
        guarantee = await durability.ask(client)
    await filters.remember()
    return guarantee


async def watch(
    settings: Settings,
    clients: Clients,
    mappings: LiveMappings[Topics],
    receiver: Receiver,
    health: Health,
    metrics: ReceiverMetrics,
) -> None:
    """The backlog, and with it whether Redis answers though no message comes; what the heartbeats of others say;
    whether its group gets any messages; and whether mappings are to be reloaded."""
    shards, broker = settings.ingest_shards, health.components["broker"]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ShardCount(clients, shards).watch(), name="shard count")
        tasks.create_task(mappings.follow(receiver.use), name="mappings")
        tasks.create_task(
            stream.watch_backlog(clients, range(shards), health.components["redis"], metrics),
            name="backlog",
        )
        if is_shared(settings):
            check = GroupCheck(settings, broker, metrics)
            tasks.create_task(check.run(), name="group check")


class Receiver:
    """Connects, forwards until the connection is lost, and connects again."""

    def __init__(
        self,
        settings: Settings,
        clients: Clients,
        filters: Filters,
        mappings: LiveMappings[Topics],
        durability: Durability,
        health: Health,
        metrics: ReceiverMetrics,
        *,
        leaving: bool = False,
    ) -> None:
        self._settings = settings
        self._filters = filters
        self._leaving = leaving
        self.has_left = False  # its session has ended, with nothing in it
        self._broker: Component = health.components["broker"]
        self._redis: Component = health.components["redis"]
        self._metrics = metrics
        self._hints = Hints(settings.mqtt_protocol)
        self._subscriber = Subscriber(settings, filters, mappings, self._redis, self._hints)
        self._appenders = [
            Appender(shard, clients, settings.ingest_queue_max, durability, self._redis, metrics)
            for shard in range(settings.ingest_shards)
        ]
        self._left: list[Intake] = []  # of lost connections, with messages still to be appended

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until `stop`. Raises ConfigurationError when the broker's first answer is a permanent refusal."""
        try:
            async with asyncio.TaskGroup() as forwarders:
                await self._keep_receiving(stop, forwarders)
        except BaseExceptionGroup as group:
            raise_sole_error(group)

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        for appender in self._appenders:
            await appender.aclose()

    async def _keep_receiving(self, stop: asyncio.Event, forwarders: asyncio.TaskGroup) -> None:
        reconnect = Reconnect(self._settings.mqtt_client_id)
        was_connected = False
        while not (stop.is_set() or self.has_left):
            try:
                await self._receive(stop, reconnect, forwarders)
                await self._leave(stop)
            except (*BROKER_ERRORS, Unusable) as error:
                was_connected = was_connected or self._broker.is_up
                if is_permanent(error) and not was_connected:
                    raise ConfigurationError(f"MQTT_URL: broker: {mqtt.described(self._settings, error)}") from None
                self._broker.down(error, self._withheld)
                self._hints.failed(error)
                await unless_stopped(stop, asyncio.sleep(reconnect.delay(error)))

    @property
    def _withheld(self) -> str:
        """Why nothing is acknowledged now, if that is so. Some brokers then send nothing at all, rumqttd not even the
        answer to a PINGREQ once 100 messages are in flight: the connection ends, and the broker is not the reason."""
        if self._redis.outage:
            return ", while this receiver waits for Redis and acknowledges nothing"
        is_full = self._metrics.registry.get_sample_value("ingest_backpressure")
        return ", while this receiver waits for room in a full stream and acknowledges nothing" if is_full else ""

    async def _receive(self, stop: asyncio.Event, reconnect: Reconnect, forwarders: asyncio.TaskGroup) -> None:
        """One connection: until it is lost or, after `stop`, until what is being appended is acknowledged.

        Forwarding begins before SUBSCRIBE: a session that holds a full in-flight window from the last time
        answers nothing until some of it is acknowledged.
        """
        intake = Intake(self._appenders, self._subscriber.sharding, self._choose, self._metrics)
        async with connect(self._settings, intake.deliver) as connection:
            intake.start(forwarders, connection.puback)
            try:
                await self._hold(connection, intake, stop, reconnect)
            except BROKER_ERRORS:
                intake.connection_lost(self._left)
                raise
            await intake.close()

    async def _hold(self, connection: Connection, intake: Intake, stop: asyncio.Event, reconnect: Reconnect) -> None:
        """Subscribe, and return after `stop`; leaving, once all that the session held is appended.

        Raises MqttError when the connection is lost.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                lost = tasks.create_task(connection.lost(), name="connection")
                await (self._unsubscribe(connection) if self._leaving else self._subscribe(connection))
                end_if_cancelled()
                reconnect.subscribed()
                cleanup = tasks.create_task(self._subscriber.unsubscribe_obsolete(connection), name="filters")
                await (self._drain(connection, intake, stop) if self._leaving else stop.wait())
                lost.cancel()
                cleanup.cancel()
        except BaseExceptionGroup as group:
            raise_sole_error(group)
        finally:
            self._subscriber.close()

    async def use(self, topics: Topics) -> None:
        """Use new mappings once a SUBACK accepts their filters. Raises Unusable if the broker refuses one of them: then
        the current mappings stay in use."""
        if not self._leaving:
            await self._subscriber.use(topics)

    def _choose(self, batch: Sequence[Message]) -> Sequence[Message]:
        """Those of a batch that are to be stored: all, or all but retained ones."""
        if self._settings.mqtt_retained == "store":
            return batch
        wanted = [message for message in batch if not message.retained]
        self._metrics.ignored(RETAINED, len(batch) - len(wanted))
        return wanted

    async def _subscribe(self, connection: Connection) -> None:
        settings, filters = self._settings, await self._subscriber.open(connection)
        self._broker.up()
        log.info(
            "connected to %s as %s, subscribed at QoS %d to %s",
            redacted(settings.mqtt_url),
            settings.mqtt_client_id,
            settings.mqtt_qos,
            ", ".join(filters),
            extra={"component": "broker", "client_id": settings.mqtt_client_id, "filters": filters},
        )

    async def _drain(self, connection: Connection, intake: Intake, stop: asyncio.Event) -> None:
        answered = partial(connection.unsubscribe, self._filters.wanted, UNSUBSCRIBE_S)
        await unless_stopped(stop, drained(intake, answered))

    async def _unsubscribe(self, connection: Connection) -> None:
        client_id, filters = self._settings.mqtt_client_id, self._filters.wanted
        log.info("unsubscribing from %s", ", ".join(filters), extra={"component": "broker", "filters": filters})
        await connection.unsubscribe(filters, UNSUBSCRIBE_S)
        self._broker.up()
        log.info("%s leaves: taking what its session holds", client_id, extra={"client_id": client_id})

    async def _leave(self, stop: asyncio.Event) -> None:
        """Once a connection has ended in order: end the session, when leaving for good."""
        if self._leaving and not stop.is_set():
            await end_session(self._settings)
            self.has_left = True
            client_id = self._settings.mqtt_client_id
            log.info("%s has left: its session has ended", client_id, extra={"client_id": client_id})
