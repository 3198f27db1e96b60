"""The two ends that a pipeline is seen from, the broker and the database, and a tenant between them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import aiomqtt
import asyncpg

from ops.scrape import Service
from ops.validate import sql
from ops.validate.message import Message, topic_of
from ops.validate.options import Options
from shared import database, mqtt
from shared.config import Settings, redacted
from shared.database import NotMigrated
from shared.failure import describe

IN_FLIGHT = 100  # unacknowledged PUBLISHes: over a round trip of 20 ms 5000 messages/s, near by some 11 000
LOOK_EVERY_S = 0.02
UNREACHABLE = (aiomqtt.MqttError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, NotMigrated)

T = TypeVar("T")


class Problem(NamedTuple):
    """Why checks can't be tried: told in full by the check with that number, in brief by those after it."""

    told_by: int
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
    first_error_id: int = 0  # later rows of ingest_errors have a higher one
    client: aiomqtt.Client = field(init=False)
    database: Any = field(init=False)

    def __post_init__(self) -> None:
        self.writer = Service("writer", self.options.writer_metrics)
        self.receiver = Service("receiver", self.options.receiver_metrics)

    @property
    def can_remove(self) -> bool:
        """Whether what is published can be removed again."""
        return not any(problem.told_by == 2 for problem in self.problems)

    async def publish(self, message: Message) -> None:
        """Publish at QoS 1 and wait for the PUBACK; raises MqttError when there is none."""
        self.published += 1
        try:
            await self.client.publish(topic_of(self.tenant, message.device), message.payload, qos=1)
        except aiomqtt.MqttCodeError:  # it never left; after a time-out it may well have
            self.published -= 1
            raise

    async def publish_all(self, messages: Sequence[Message]) -> None:
        """Publish them at once, as many in flight as IN_FLIGHT allows."""
        waiting = iter(messages)

        async def publish_some() -> None:
            for message in waiting:
                await self.publish(message)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(IN_FLIGHT, len(messages))):
                tasks.create_task(publish_some())

    async def count_rows(self, device: str) -> int:
        """Rows of ts_measure that one of this run's devices has."""
        return int(await self.database.fetchval(sql.COUNT_ROWS, self.tenant, device, self.started))

    async def count_messages(self, connection: Any = None) -> int:
        """This run's messages that have come through, stored and dead-lettered alike."""
        looking = connection or self.database
        return int(await looking.fetchval(sql.COUNT_MESSAGES, self.tenant, self.started, self.first_error_id))

    async def look_until(
        self, look: Callable[[], Awaitable[T]], enough: Callable[[T], bool], timeout: float | None = None
    ) -> T:
        """The first look that is enough, or the last one within the time-out in seconds (the options' own)."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self.options.timeout if timeout is None else timeout)
        while True:
            seen = await look()
            if enough(seen) or loop.time() >= deadline:
                return seen
            await asyncio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def connected(settings: Settings, options: Options) -> AsyncIterator[Probe]:
    """A probe with its connections, closed at the end; raises nothing for one that can't be had."""
    probe = Probe(settings, options)
    async with AsyncExitStack() as lifetimes:
        await _connect_broker(probe, lifetimes)
        await _connect_database(probe, lifetimes)
        yield probe


async def _connect_broker(probe: Probe, lifetimes: AsyncExitStack) -> None:
    try:
        probe.client = mqtt.client(probe.settings, probe.tenant, max_inflight_messages=IN_FLIGHT)
        probe.client.pending_calls_threshold = IN_FLIGHT
        await probe.client.__aenter__()
    except UNREACHABLE as error:
        url = redacted(probe.settings.mqtt_url)
        detail = f"no connection to {url}: {describe(error)}; see that the broker runs, and MQTT_URL and credentials"
        probe.problems.append(Problem(1, detail, "no broker"))
    else:
        lifetimes.push_async_callback(_close_client, probe.client)


async def _close_client(client: aiomqtt.Client) -> None:
    try:
        await client.__aexit__(None, None, None)
    except aiomqtt.MqttError:
        """The connection is gone, which is what was wanted."""


async def _connect_database(probe: Probe, lifetimes: AsyncExitStack) -> None:
    url = probe.settings.database_url
    try:
        await database.check(url)
        probe.database = await database.connect(url)
        lifetimes.callback(probe.database.terminate)
        probe.first_error_id = await probe.database.fetchval(sql.LAST_ERROR_ID)
    except UNREACHABLE as error:
        detail = f"no connection to {redacted(url)}: {describe(error)}; see that the database runs, and DATABASE_URL"
        if isinstance(error, NotMigrated):
            detail = f"{redacted(url)}: {describe(error)}"
        probe.problems.append(Problem(2, detail, "no database"))
