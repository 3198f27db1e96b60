"""The pipeline under test: real servers, two receivers, two writers, and a proxy in each connection between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import NoReturn

import asyncpg

from tests.chaos.console.service import ConsoleService
from tests.chaos.console.visitor import Visitor
from tests.chaos.load import TENANTS
from tests.chaos.proxy import Proxy
from tests.chaos.service import Service
from tests.chaos.setup import Setup
from tests.chaos.streams import OneServer, Streams, streams_on
from tests.chaos.tap import Seen, Tap
from tests.support.pgbouncer import Pgbouncer
from tests.support.standby import replicate
from tests.support.waiting import eventually, pause, watching
from traksense_ingest.ops.console.packages import are_installed
from traksense_ingest.ops.embedded import Broker, Server, free_port
from traksense_ingest.ops.embedded.postgres import PostgresServer
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.ops.up.processes import UNRESPONSIVE_CHECKS

CLAIM_IDLE_MS = 1_000
CHECK_BROKER_S = 1.0
ROLE, PASSWORD = "traksense_writer", "chaos"
OWNER = "postgres:postgres"  # of the tables, with the password


@dataclass
class Pipeline:
    """Everything, running."""

    broker: Server
    streams: Streams
    postgres: PostgresServer
    standby: PostgresServer  # the writers have it among their hosts
    has_standby: bool  # it always runs; otherwise only when a failover needs it
    pooler: Server | None  # of one of the writers, where it is installed
    links: dict[str, Proxy]  # broker, database; redis, where it is one server
    seen: Seen
    receivers: list[Service]
    writers: list[Service]
    visitor: Visitor | None  # of the console, where it is installed
    random: Random

    @property
    def services(self) -> list[Service]:
        """Receivers and writers."""
        return [*self.receivers, *self.writers]

    @property
    def databases(self) -> list[Server]:
        """The primary first, and the standby where it always runs."""
        return [self.postgres, self.standby] if self.has_standby else [self.postgres]

    @property
    def broker_survives(self) -> bool:
        """Whether the broker keeps its sessions when it is killed; the embedded one keeps them in memory."""
        return self.broker.name == "mosquitto"

    def check(self) -> None:
        """Raise EndedByItself when a process did."""
        for service in self.services:
            service.check()
        if self.visitor:
            self.visitor.console.check()

    async def ready(self) -> None:
        """Wait until Redis and every service are; raises EndedByItself."""
        await self.streams.ready()
        for service in self.services:
            await eventually(service.is_ready, f"ready: {service.kind}, {service.process.log_path}")

    async def database(self) -> asyncpg.Connection:
        """A connection as the owner, past the proxy; raises what asyncpg raises."""
        return await asyncpg.connect(self.postgres.url, timeout=5)

    async def administer(self, *statements: str) -> None:
        """Run statements as the owner."""
        connection = await self.database()
        try:
            for statement in statements:
                await eventually(partial(_carried_out, connection, statement), statement)
        finally:
            await connection.close()


async def _carried_out(connection: asyncpg.Connection, statement: str) -> bool:
    """Not where it is chosen to end a deadlock: a writer that makes a chunk of the table copies its triggers, and needs
    the function that is being dropped."""
    try:
        await connection.execute(statement)
    except asyncpg.DeadlockDetectedError:
        return False
    return True


@asynccontextmanager
async def running(setup: Setup, directory: Path, random: Random) -> AsyncIterator[Pipeline]:
    """Start all of it in a directory, and end all of it."""
    broker = setup.services.broker(directory)
    postgres = setup.services.postgres_type(directory / "postgres", free_port())
    standby = setup.services.postgres_type(directory / "standby", free_port())
    seen = Seen()
    links = {"broker": Proxy(broker.port, random, lambda: Tap(seen)), "database": Proxy(postgres.port, random)}
    async with AsyncExitStack() as lifetimes:
        for server in (broker, postgres):
            await asyncio.to_thread(server.start)
            lifetimes.push_async_callback(asyncio.to_thread, server.stop)
        streams = await lifetimes.enter_async_context(streams_on(setup, directory, random))
        ports = {name: await lifetimes.enter_async_context(link.listening()) for name, link in links.items()}
        if isinstance(streams, OneServer):
            links["redis"] = streams.proxy
        await _prepare(postgres)
        lifetimes.push_async_callback(asyncio.to_thread, standby.kill)
        if not setup.is_of_one_server:
            await replicate(postgres, standby)
        pooler = await lifetimes.enter_async_context(_pooling(directory, ports["database"]))
        directory = directory / "services"
        directory.mkdir()
        common = {"MQTT_URL": f"mqtt://127.0.0.1:{ports['broker']}", "INGEST_CLAIM_IDLE_MS": str(CLAIM_IDLE_MS)}
        common |= streams.variables
        databases = _databases(ports["database"], standby, pooler)
        console = common | _database(ports["database"], standby.port, user=OWNER)
        pipeline = Pipeline(
            broker=broker,
            streams=streams,
            postgres=postgres,
            standby=standby,
            has_standby=not setup.is_of_one_server,
            pooler=pooler,
            links=links,
            seen=seen,
            receivers=[Service("receiver", common | _share(index, setup.shared), directory) for index in range(2)],
            writers=[Service("writer", common | database, directory) for database in databases[: setup.writers]],
            visitor=Visitor(ConsoleService(console, directory)) if are_installed() else None,
            random=random,
        )
        for service in pipeline.services:
            service.start()
            lifetimes.push_async_callback(service.kill)
        await pipeline.ready()
        if pipeline.visitor:
            lifetimes.push_async_callback(pipeline.visitor.console.kill)
            await pipeline.visitor.console.start()
        async with watching(restart_unresponsive(broker)):
            yield pipeline


async def restart_unresponsive(broker: Server) -> NoReturn:
    """As `up` does: rumqttd may panic when a client id connects again (it expects the old connection to be there), and
    then refuse everybody. A broker that a fault has stopped is left alone."""
    unanswered = 0
    while True:
        await pause(CHECK_BROKER_S)
        serves = not isinstance(broker, Broker) or not broker.running or await asyncio.to_thread(broker.serves)
        unanswered = 0 if serves else unanswered + 1
        if unanswered == UNRESPONSIVE_CHECKS and broker.running:
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)


async def _prepare(postgres: Server) -> None:
    await migrate(postgres.url)
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(f"ALTER ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
    await connection.close()


def _databases(link: int, standby: Server, pooler: Server | None) -> list[dict[str, str]]:
    """Where the writers look for the database, in this order: one through the pooler first."""
    first = pooler.port if pooler else link
    return [_database(*ports) for ports in ((first, standby.port), (standby.port, link), (link, standby.port))]


def _database(*ports: int, user: str = f"{ROLE}:{PASSWORD}") -> dict[str, str]:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return {"DATABASE_URL": f"postgresql://{user}@{hosts}/traksense?sslmode=disable"}


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
    topics = "traksense/#" if shared else f"traksense/{TENANTS[index]}/#"
    return name | {"MQTT_TOPICS": topics} | ({"MQTT_SHARED_GROUP": "receivers"} if shared else {})
