"""Both ends of a pipeline, the broker and the database, and a tenant whose messages pass between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import aiomqtt

from traksense_ingest.ops.scrape import Service, find_on_host
from traksense_ingest.ops.validate import sql
from traksense_ingest.shared import database, mqtt
from traksense_ingest.shared.config import Settings, redacted
from traksense_ingest.shared.database import NotMigrated
from traksense_ingest.shared.failure import BROKER_ERRORS, DATABASE_ERRORS, Unusable, describe
from traksense_ingest.shared.messages import topic_of as device_topic
from traksense_ingest.shared.mqtt_client import Client
from traksense_ingest.shared.ports import RECEIVER_METRICS, WRITER_METRICS

IN_FLIGHT = 100  # unacknowledged PUBLISHes: with a round trip of 20 ms 5000 messages/s, on one host some 11 000
POLL_EVERY_S = 0.02
SITE = "validate"
RECEIVED = "ingest_received_messages_total"
UNREACHABLE = (*BROKER_ERRORS, *DATABASE_ERRORS, NotMigrated)

T = TypeVar("T")

Value = float | bool | str
Point = tuple[str, str, Value]  # name, t, v


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options: targets, sizes, and where the services serve their metrics."""

    timeout: float = 30.0  # seconds a check
    points: int = 10_000  # of the throughput check
    min_rate: float = 5_000.0  # points/s
    max_p50: float = 1.0  # seconds
    writer_metrics: tuple[str, ...] = ()  # URLs; none: the one of this host
    receiver_metrics: tuple[str, ...] = ()


class Message(NamedTuple):
    """A payload, and the device that it comes from."""

    device: str
    payload: bytes


def topic_of(tenant: str, device: str) -> str:
    """The topic of a device's telemetry."""
    return device_topic(tenant, SITE, device)


def telemetry(device: str, ts: datetime, points: Sequence[Point]) -> Message:
    """A telem v1 message."""
    body = {
        "schema": "v1",
        "ts": ts.isoformat(),
        "points": [{"name": name, "t": type_, "v": value} for name, type_, value in points],
    }
    return Message(device, json.dumps(body, ensure_ascii=False).encode())


class Problem(NamedTuple):
    """Why checks can't be tried: reported in full by the check with that number, in brief by those after it."""

    reported_by: int
    detail: str
    brief: str


@dataclass
class Probe:
    """A run's connections and what it has published. Without broker or database, `problems` says why."""

    settings: Settings
    options: Options
    tenant: str = field(default_factory=lambda: f"validate-{secrets.token_hex(6)}")
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    published: int = 0  # messages handed to the client, acknowledged or not
    problems: list[Problem] = field(default_factory=list)
    unusable: str = ""  # the database answers, but nothing can be stored in it, for this reason
    first_error_id: int = 0  # later rows of ingest_errors have a higher one
    received_before: float | None = None  # by the receivers, when the run began; None where they can't be asked
    client: Client | None = None  # None before the first connection
    database: Any = None  # asyncpg's connection

    def __post_init__(self) -> None:
        self.writer = Service("writer", self.options.writer_metrics)
        self.receiver = Service("receiver", self.options.receiver_metrics)

    @property
    def can_remove(self) -> bool:
        """Whether what is published can be removed again."""
        return not any(problem.reported_by == 2 for problem in self.problems)

    @property
    def window(self) -> int:
        """Messages in flight: a broker of MQTT 5 disconnects a client with more than its Receive Maximum."""
        return min(IN_FLIGHT, self.client.allowed.receive_maximum if self.client else IN_FLIGHT)

    async def connect(self) -> None:
        """Connect to the broker, or again after the connection was lost; raises MqttError."""
        if self.client is not None and not self.client.is_lost:
            return
        await self.disconnect()
        client = mqtt.client(self.settings, self.tenant, max_inflight_messages=IN_FLIGHT)
        client.pending_calls_threshold = IN_FLIGHT
        self.client = await client.__aenter__()

    async def disconnect(self) -> None:
        """Disconnect from the broker."""
        client, self.client = self.client, None
        if client is not None:
            with contextlib.suppress(aiomqtt.MqttError):  # the connection is closed in any case
                await client.__aexit__(None, None, None)

    async def publish(self, message: Message) -> None:
        """Publish at QoS 1 and wait for the PUBACK; raises MqttError if there is none."""
        assert self.client is not None  # noqa: S101  (without a broker no check publishes)
        if self.client.is_lost:
            self.client.raise_loss()  # here the message is never sent; after a time-out, or a later loss, it may be
        self.published += 1
        await self.client.publish(topic_of(self.tenant, message.device), message.payload, qos=1)

    async def publish_all(self, messages: Sequence[Message]) -> None:
        """Publish them at once, as many in flight as IN_FLIGHT and the broker allow."""
        waiting = iter(messages)

        async def publish_some() -> None:
            for message in waiting:
                await self.publish(message)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(self.window, len(messages))):
                tasks.create_task(publish_some())

    async def count_rows(self, device: str) -> int:
        """Rows of ts_measure that one of this run's devices has."""
        return int(await self.database.fetchval(sql.COUNT_ROWS, self.tenant, device, self.started))

    async def count_messages(self, connection: Any = None) -> int:
        """This run's messages that have arrived, stored or dead-lettered."""
        return int(
            await (connection or self.database).fetchval(
                sql.COUNT_MESSAGES, self.tenant, self.started, self.first_error_id
            )
        )

    async def poll_until(
        self, query: Callable[[], Awaitable[T]], is_enough: Callable[[T], bool], timeout: float | None = None
    ) -> T:
        """The first result that is enough, or the last one within the time-out in seconds (by default the options')."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self.options.timeout if timeout is None else timeout)
        while True:
            result = await query()
            if is_enough(result) or loop.time() >= deadline:
                return result
            await asyncio.sleep(POLL_EVERY_S)


@asynccontextmanager
async def connected(settings: Settings, options: Options) -> AsyncIterator[Probe]:
    """A probe with its connections, closed at the end; a connection that can't be made becomes one of its problems."""
    probe = Probe(settings, await asyncio.to_thread(_with_services, options, settings.metrics_port))
    async with AsyncExitStack() as lifetimes:
        await _connect_broker(probe, lifetimes)
        await _connect_database(probe, lifetimes)
        samples = await probe.receiver.samples()
        probe.received_before = None if samples is None else samples.value(RECEIVED)
        yield probe


def _with_services(options: Options, metrics_port: int | None) -> Options:
    """Options that name the services of this host, where they name none."""
    return replace(
        options,
        writer_metrics=options.writer_metrics or (find_on_host(WRITER_METRICS, metrics_port),),
        receiver_metrics=options.receiver_metrics or (find_on_host(RECEIVER_METRICS, metrics_port),),
    )


async def _connect_broker(probe: Probe, lifetimes: AsyncExitStack) -> None:
    lifetimes.push_async_callback(probe.disconnect)
    try:
        await probe.connect()
    except UNREACHABLE as error:
        url, cause = redacted(probe.settings.mqtt_url), mqtt.described(probe.settings, error)
        detail = f"no connection to {url}: {cause}; check that the broker runs, and MQTT_URL and credentials"
        probe.problems.append(Problem(1, detail, "no broker"))


async def _connect_database(probe: Probe, lifetimes: AsyncExitStack) -> None:
    url = probe.settings.database_url
    try:
        await database.check(url)
        probe.database = await database.connect(url)
        lifetimes.callback(probe.database.terminate)
        probe.first_error_id = await probe.database.fetchval(sql.LAST_ERROR_ID)
    except Unusable as error:
        probe.unusable = str(error)
        probe.problems.append(Problem(2, "not tried: the database can't be used, see check 6", "no usable database"))
    except UNREACHABLE as error:
        detail = f"no connection to {redacted(url)}: {describe(error)}; check that the database runs, and DATABASE_URL"
        if isinstance(error, NotMigrated):
            detail = f"{redacted(url)}: {describe(error)}"
        probe.problems.append(Problem(2, detail, "no database"))
