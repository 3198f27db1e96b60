"""The pipeline under test: real servers, two receivers, two writers, and a proxy in each connection between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import asyncpg
from redis.asyncio import Redis

from ops.embedded import Server, free_port
from ops.migrate import migrate
from tests.chaos.load import TENANTS
from tests.chaos.proxy import Proxy
from tests.chaos.setup import Setup
from tests.chaos.tap import Seen, Tap
from tests.support.process import Process

CAP = 1_000  # entries: an outage of some seconds fills the stream, so that back-pressure is at work too
CLAIM_IDLE_MS = 1_000
ROLE, PASSWORD = "traksense_writer", "chaos"
MEMORY = 64 << 20  # bytes that Redis may take


class EndedByItself(Exception):
    """A service did; the message says which, and quotes its log."""


@dataclass
class Service:
    """A receiver or a writer that is started again as often as it takes, with the same environment."""

    kind: str
    environment: dict[str, str]
    directory: Path
    process: Process = field(init=False)
    logs: list[Path] = field(default_factory=list)

    def start(self) -> None:
        """A new process."""
        self.process = Process(self.kind, self.environment, self.directory)
        self.logs.append(self.process.log_path)

    async def kill(self) -> None:
        """kill -9."""
        await asyncio.to_thread(self.process.kill)

    def check(self) -> None:
        """Raise EndedByItself when nobody ended it."""
        ended = self.process.popen.poll()
        if ended is not None:
            raise EndedByItself(f"{self.kind}, with exit code {ended}; its log:\n{self.process.log[-4000:]}")

    @property
    def tracebacks(self) -> list[str]:
        """What it had no word for."""
        texts = [path.read_text() for path in self.logs]
        return [text[text.index("Traceback") :][:2000] for text in texts if "Traceback" in text]


@dataclass
class Pipeline:
    """Everything, running."""

    broker: Server
    redis_server: Server
    postgres: Server
    links: dict[str, Proxy]  # broker, redis, database
    seen: Seen
    receivers: list[Service]
    writers: list[Service]
    redis: Redis
    random: Random

    @property
    def services(self) -> list[Service]:
        """Receivers and writers."""
        return [*self.receivers, *self.writers]

    @property
    def broker_survives(self) -> bool:
        """Whether the broker keeps its sessions when it is killed; the embedded one keeps them in memory."""
        return self.broker.name == "mosquitto"

    async def ready(self) -> None:
        """Wait until everything is."""
        for service in self.services:
            await service.process.ready()

    async def database(self) -> asyncpg.Connection:
        """A connection as the owner, past the proxy; raises what asyncpg raises."""
        return await asyncpg.connect(self.postgres.url, timeout=5)

    async def administer(self, *statements: str) -> None:
        """Run statements as the owner."""
        connection = await self.database()
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def running(setup: Setup, directory: Path, random: Random) -> AsyncIterator[Pipeline]:
    """Start all of it in a directory, and end all of it."""
    broker = setup.services.broker(directory)
    redis_server = setup.redis(directory)
    postgres = setup.services.postgres_type(directory / "postgres", free_port())
    seen = Seen()
    links = {
        "broker": Proxy(broker.port, random, lambda: Tap(seen)),
        "redis": Proxy(redis_server.port, random),
        "database": Proxy(postgres.port, random),
    }
    async with AsyncExitStack() as lifetimes:
        for server in (broker, redis_server, postgres):
            await asyncio.to_thread(server.start)
            lifetimes.push_async_callback(asyncio.to_thread, server.stop)
        ports = {name: await lifetimes.enter_async_context(link.listening()) for name, link in links.items()}
        await _prepare(postgres)
        redis: Redis = Redis.from_url(redis_server.url, protocol=2)
        lifetimes.push_async_callback(redis.aclose)
        environment = _environment(ports)
        directory = directory / "services"
        directory.mkdir()
        pipeline = Pipeline(
            broker,
            redis_server,
            postgres,
            links,
            seen,
            [Service("receiver", environment | _share(place, setup.shared), directory) for place in range(2)],
            [Service("writer", environment, directory) for _ in range(2)],
            redis,
            random,
        )
        for service in pipeline.services:
            service.start()
            lifetimes.push_async_callback(service.kill)
        await pipeline.ready()
        yield pipeline


async def _prepare(postgres: Server) -> None:
    await migrate(postgres.url)
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(f"ALTER ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
    await connection.close()


def _environment(ports: dict[str, int]) -> dict[str, str]:
    return {
        "MQTT_URL": f"mqtt://127.0.0.1:{ports['broker']}",
        "REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
        "DATABASE_URL": f"postgresql://{ROLE}:{PASSWORD}@127.0.0.1:{ports['database']}/traksense?sslmode=disable",
        "INGEST_QUEUE_MAX": str(CAP),
        "INGEST_CLAIM_IDLE_MS": str(CLAIM_IDLE_MS),
    }


def _share(place: int, shared: bool) -> dict[str, str]:
    """A receiver's name, and which messages are its own: a share of all, or a tenant's."""
    name = {"MQTT_CLIENT_ID": f"receiver-{place}"}
    return name | ({"MQTT_SHARED_GROUP": "receivers"} if shared else {"MQTT_TOPICS": f"traksense/{TENANTS[place]}/#"})
