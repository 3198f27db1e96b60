"""The pipeline under test: real servers, two receivers, two writers, and a proxy in each connection between them."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import asyncpg
from redis.asyncio import Redis

from tests.chaos.load import TENANTS
from tests.chaos.proxy import Proxy
from tests.chaos.setup import Setup
from tests.chaos.tap import Seen, Tap
from tests.support.pgbouncer import Pgbouncer
from tests.support.process import Process
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server, free_port
from traksense_ingest.ops.embedded.postgres import PostgresServer
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.shared.streams.keys import GROUP, key_of

CAP = 1_000  # entries: an outage of some seconds fills the stream, so that back-pressure is at work too
CLAIM_IDLE_MS = 1_000
ROLE, PASSWORD = "traksense_writer", "chaos"
MEMORY = 64 << 20  # bytes that Redis may take


class EndedByItself(Exception):
    """A service did; the message names it and quotes its log."""


@dataclass
class Service:
    """A receiver or a writer that is started again as often as it takes, with the same environment."""

    kind: str
    environment: dict[str, str]
    directory: Path
    process: Process = field(init=False)
    is_frozen: bool = False
    logs: list[Path] = field(default_factory=list)

    def start(self) -> None:
        """A new process."""
        self.process = Process(self.kind, self.environment, self.directory)
        self.logs.append(self.process.log_path)

    async def kill(self) -> None:
        """kill -9."""
        await asyncio.to_thread(self.process.kill)

    def freeze(self) -> None:
        """It stops where it is, and answers nothing."""
        self.process.signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        """It goes on."""
        self.process.signal(signal.SIGCONT)
        self.is_frozen = False

    async def is_ready(self) -> bool:
        """Whether /readyz says so; raises EndedByItself."""
        self.check()
        return (await asyncio.to_thread(self.process.get, "/readyz"))[0] == 200

    def check(self) -> None:
        """Raise EndedByItself when the harness did not end it."""
        ended = self.process.popen.poll()
        if ended is not None:
            raise EndedByItself(f"{self.kind}, with exit code {ended}; its log:\n{self.process.log[-4000:]}")

    @property
    def tracebacks(self) -> list[str]:
        """Of errors that it does not handle."""
        texts = [path.read_text() for path in self.logs]
        return [text[text.index("Traceback") :][:2000] for text in texts if "Traceback" in text]


@dataclass
class Pipeline:
    """Everything, running."""

    broker: Server
    redis_server: Server
    postgres: PostgresServer
    standby: PostgresServer  # not running until a failover needs it; the writers have it among their hosts
    pooler: Server | None  # of one of the writers, where it is installed
    links: dict[str, Proxy]  # broker, redis, database
    seen: Seen
    receivers: list[Service]
    writers: list[Service]
    redis: Redis
    random: Random
    make_redis: Callable[[Path], Server]
    directory: Path
    lifetimes: AsyncExitStack  # of what is started later

    @property
    def services(self) -> list[Service]:
        """Receivers and writers."""
        return [*self.receivers, *self.writers]

    @property
    def broker_survives(self) -> bool:
        """Whether the broker keeps its sessions when it is killed; the embedded one keeps them in memory."""
        return self.broker.name == "mosquitto"

    async def another_redis(self) -> Server:
        """One more of the same kind, empty, that runs until the end."""
        server = self.make_redis(Path(tempfile.mkdtemp(dir=self.directory)))
        await asyncio.to_thread(server.start)
        self.lifetimes.push_async_callback(asyncio.to_thread, server.kill)
        return server

    def use_redis(self, server: Server) -> None:
        """From now on this one is the pipeline's."""
        self.redis_server, self.redis = server, Redis.from_url(server.url, protocol=2)
        self.lifetimes.push_async_callback(self.redis.aclose)

    async def ready(self) -> None:
        """Wait until every service is; raises EndedByItself."""
        for service in self.services:
            await eventually(service.is_ready, f"ready: {service.kind}, {service.process.log_path}")

    async def pending_of(self, writer: Service) -> int:
        """How many entries a writer has in hand."""
        consumers = await self.redis.xinfo_consumers(key_of(0), GROUP)
        return sum(one["pending"] for one in consumers if f"-{writer.process.popen.pid}-" in one["name"].decode())

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
    standby = setup.services.postgres_type(directory / "standby", free_port())
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
        lifetimes.push_async_callback(asyncio.to_thread, standby.kill)
        pooler = await lifetimes.enter_async_context(_pooling(directory, ports["database"]))
        redis: Redis = Redis.from_url(redis_server.url, protocol=2)
        lifetimes.push_async_callback(redis.aclose)
        directory = directory / "services"
        directory.mkdir()
        pipeline = Pipeline(
            broker=broker,
            redis_server=redis_server,
            postgres=postgres,
            standby=standby,
            pooler=pooler,
            links=links,
            seen=seen,
            receivers=_receivers(ports, directory, shared=setup.shared),
            writers=_writers(ports, directory, _databases(ports, standby, pooler)),
            redis=redis,
            random=random,
            make_redis=setup.redis,
            directory=directory,
            lifetimes=lifetimes,
        )
        for service in pipeline.services:
            service.start()
            lifetimes.push_async_callback(service.kill)
        await pipeline.ready()
        yield pipeline


def _receivers(ports: dict[str, int], directory: Path, *, shared: bool) -> list[Service]:
    return [Service("receiver", _environment(ports) | _share(index, shared), directory) for index in range(2)]


def _writers(ports: dict[str, int], directory: Path, databases: list[dict[str, str]]) -> list[Service]:
    return [Service("writer", _environment(ports) | database, directory) for database in databases]


async def _prepare(postgres: Server) -> None:
    await migrate(postgres.url)
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(f"ALTER ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
    await connection.close()


def _environment(ports: dict[str, int]) -> dict[str, str]:
    return {
        "MQTT_URL": f"mqtt://127.0.0.1:{ports['broker']}",
        "REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
        "INGEST_QUEUE_MAX": str(CAP),
        "INGEST_CLAIM_IDLE_MS": str(CLAIM_IDLE_MS),
    }


def _databases(ports: dict[str, int], standby: Server, pooler: Server | None) -> list[dict[str, str]]:
    """Where the two writers look for the database, in this order: one through the pooler first."""
    link = ports["database"]
    return [_database(pooler.port if pooler else link, standby.port), _database(standby.port, link)]


def _database(*ports: int) -> dict[str, str]:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return {"DATABASE_URL": f"postgresql://{ROLE}:{PASSWORD}@{hosts}/traksense?sslmode=disable"}


@asynccontextmanager
async def _pooling(directory: Path, port: int) -> AsyncIterator[Server | None]:
    """A pgbouncer in front of the database's proxy, in the mode that asks most of a client. What is altered for a role
    reaches a pooler's sessions when it makes new ones, here after a second."""
    if not Pgbouncer.installed():
        yield None
        return
    url = f"postgresql://{ROLE}:{PASSWORD}@127.0.0.1:{port}/traksense"
    settings = {"pool_mode": "transaction", "server_lifetime": "1", "server_login_retry": "1"}
    pooler = Pgbouncer(directory / "pgbouncer", free_port(), url, settings)
    await asyncio.to_thread(pooler.start)
    try:
        yield pooler
    finally:
        await asyncio.to_thread(pooler.kill)


def _share(index: int, shared: bool) -> dict[str, str]:
    """A receiver's name, and which messages are its own: a share of all, or a tenant's."""
    name = {"MQTT_CLIENT_ID": f"receiver-{index}"}
    return name | ({"MQTT_SHARED_GROUP": "receivers"} if shared else {"MQTT_TOPICS": f"traksense/{TENANTS[index]}/#"})
