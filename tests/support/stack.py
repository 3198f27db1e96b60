"""A broker, a Redis and a database of a test's own, with the services on them."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.support.process import Process
from tests.support.program import run
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server
from traksense_ingest.shared.failure import DATABASE_ERRORS
from traksense_ingest.shared.streams.client import ServerClients
from traksense_ingest.shared.streams.keys import GROUP, key_of

WITHOUT_BROKER = ("writer", "dlq", "migrate")  # programs that never connect to it
IN_FLIGHT = 50  # messages that a test's publisher sends ahead of their PUBACKs


class Stack:
    """What one integration test works with. Everything that it started ends with it."""

    def __init__(self, broker: Server, redis: Server, database_url: str, directory: Path) -> None:
        self._broker = broker
        self._is_broker_needed = False
        self.redis_server = redis
        self.database_url = database_url
        self.is_cold = False  # services are started as a user starts them
        self.redis: Redis = Redis.from_url(redis.url, protocol=2)
        self.clients = ServerClients(self.redis)
        self._directory = directory
        self._processes: list[Process] = []
        self._sessions: list[asyncpg.Connection] = []
        self._numbers = itertools.count()

    @property
    def broker(self) -> Server:
        """The broker, which starts when a test first needs it."""
        if not self._is_broker_needed:
            self._is_broker_needed = True
            self._broker.start()
        return self._broker

    @property
    def addresses(self) -> dict[str, str]:
        """The variables with the addresses of all servers."""
        return {"MQTT_URL": self._broker.url, "REDIS_URL": self.redis_server.url, "DATABASE_URL": self.database_url}

    @property
    def environment(self) -> dict[str, str]:
        """The same, with a broker that runs."""
        _ = self.broker
        return self.addresses

    def _environment_of(self, program: str, given: Mapping[str, object]) -> dict[str, str]:
        own = self.addresses if program in WITHOUT_BROKER else self.environment
        return own | {name: str(value) for name, value in given.items()}

    def start(self, service: str, **variables: object) -> Process:
        """Start `receiver` or `writer`, without waiting for it."""
        environment = self._environment_of(service, variables)
        process = Process(service, environment, self._directory, is_cold=self.is_cold)
        self._processes.append(process)
        return process

    async def receiver(self, **variables: object) -> Process:
        """A receiver that is ready."""
        return await self.start("receiver", **variables).ready()

    async def writer(self, **variables: object) -> Process:
        """A writer that is ready."""
        return await self.start("writer", **variables).ready()

    async def status(self, *options: str, **variables: object) -> subprocess.CompletedProcess[str]:
        """What `traksense-ingest status` says on 80 columns, and its exit code."""
        return await self.command("status", "--sample", "0", "--timeout", "30", *options, **variables)

    async def is_well(self, **variables: object) -> None:
        """Wait until `status` ends with 0: a service says in its next heartbeat that an outage is over."""

        async def found() -> bool:
            return (await self.status(**variables)).returncode == 0

        await eventually(found, "status ends with 0")

    async def command(self, *words: str, **variables: object) -> subprocess.CompletedProcess[str]:
        """What a command of `traksense-ingest` says on 80 columns, and its exit code."""
        environment = {"COLUMNS": "80", **self._environment_of(words[0], variables)}
        return await asyncio.to_thread(run, "ops", *words, environment=environment)

    async def publish(self, *messages: tuple[str, bytes]) -> None:
        """Publish at QoS 1, in order, and return when the broker has acknowledged all."""
        async with self.client() as client:
            client.pending_calls_threshold = IN_FLIGHT + 1
            for chunk in _chunks(messages):
                await asyncio.gather(*(client.publish(topic, payload, qos=1) for topic, payload in chunk))

    def client(self) -> aiomqtt.Client:
        """A client of the broker."""
        return aiomqtt.Client("127.0.0.1", self.broker.port, identifier=f"test-{next(self._numbers)}", timeout=30)

    async def append(self, topic: str | bytes, payload: bytes, shard: int = 0, **fields: Any) -> bytes:
        """Add an entry to a shard as a receiver would."""
        entry: Any = {"topic": topic, "payload": payload, "received_at": 1_700_000_000_000} | fields
        id_: Any = await self.redis.xadd(key_of(shard), entry)
        return bytes(id_)

    async def redis_command(self, *words: str) -> Any:
        """A command of an operator that redis-py has no method for."""
        return await self.redis.execute_command(*words)  # type: ignore[no-untyped-call]

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Rows, as the tables' owner."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def fetch_of_tenant(self, tenant: str, query: str) -> list[tuple[Any, ...]]:
        """What a query of views of the schema `tenant` gives while app.tenant_id is this one."""
        connection = await asyncpg.connect(self.database_url)
        try:
            await connection.execute("SELECT set_config('app.tenant_id', $1, false)", tenant)
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """One value."""
        return (await self.fetch(query, *arguments))[0][0]

    async def execute(self, query: str) -> None:
        """A statement, as the tables' owner."""
        await self.fetch(query)

    async def administer(self, statement: str) -> None:
        """A statement about the database, from outside it; `{name}` stands for its name."""
        server, _, name = self.database_url.rpartition("/")
        connection = await asyncpg.connect(f"{server}/postgres")
        try:
            await connection.execute(statement.format(name=name))
        finally:
            await connection.close()

    @asynccontextmanager
    async def locked(self, table: str, mode: str = "EXCLUSIVE") -> AsyncIterator[None]:
        """Nobody writes to a table for as long as the block, or in another `mode` reads it; everything else goes on."""
        connection = await asyncpg.connect(self.database_url)
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {table} IN {mode} MODE")
                yield
        finally:
            await connection.close()

    async def end_sessions(self) -> None:
        """Terminate every session of the database, as a failover does."""
        await self.administer("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    async def refuse_connections(self) -> None:
        """An outage of this test's database alone, until `allow_connections`."""
        await self.administer("ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await self.end_sessions()

    async def allow_connections(self) -> None:
        """The end of it."""
        await self.administer("ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    async def count(self, table: str) -> int:
        """Rows in a table. Asked again and again, hence on a session that is kept."""
        session = await self._kept_session()
        try:
            count = int(await session.fetchval(f"SELECT count(*) FROM {table}"))
        except BaseException:
            session.terminate()
            raise
        self._sessions.append(session)
        return count

    async def _kept_session(self) -> asyncpg.Connection:
        while self._sessions:
            session = self._sessions.pop()
            with suppress(OSError, *DATABASE_ERRORS):  # a test may have ended it
                await session.execute("SELECT 1")
                return session
            session.terminate()
        return await asyncpg.connect(self.database_url, statement_cache_size=0)

    async def backlog(self, shard: int = 0) -> int:
        """Entries in a stream."""
        return int(await self.redis.xlen(key_of(shard)))

    async def pending(self) -> int:
        """Entries of shard 0 that are delivered and not settled."""
        try:
            return int((await self.redis.xpending(key_of(0), GROUP))["pending"])
        except ResponseError:  # the writer hasn't made the group yet
            return 0

    async def waits_for_a_lock(self) -> bool:
        """Whether a session of this database waits for another one at this moment."""
        return bool(
            await self.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock' AND wait_event IN ('relation', 'tuple', 'transactionid')"
            )
        )

    async def has_rows(self, table: str, count: int) -> None:
        """Wait for exactly so many rows, and for the stream to be empty."""
        await eventually(lambda: self._is_settled(table, count), f"{count} rows in {table} and no backlog")
        assert await self.count(table) == count

    async def _is_settled(self, table: str, count: int) -> bool:
        return await self.count(table) >= count and not await self.backlog()

    async def close(self) -> None:
        """End what was started."""
        for process in self._processes:
            process.kill()
        for session in self._sessions:
            session.terminate()
        await self.redis.aclose()


def _chunks(messages: tuple[tuple[str, bytes], ...]) -> Iterable[tuple[tuple[str, bytes], ...]]:
    return (messages[at : at + IN_FLIGHT] for at in range(0, len(messages), IN_FLIGHT))


START = datetime(2025, 10, 7, 15, 30, tzinfo=UTC)


def telem(
    device: str = "dev",
    second: float = 0,
    points: int | Iterable[Mapping[str, Any]] = 1,
    tenant: str = "t",
    meta: Mapping[str, Any] | None = None,
) -> tuple[str, bytes]:
    """A v1 message: its topic and payload; `points` gives them, or how many floats named p0, p1, …"""
    if isinstance(points, int):
        points = [{"name": f"p{number}", "t": "float", "v": number + 0.5} for number in range(points)]
    ts = (START + timedelta(seconds=second)).isoformat()
    payload = {"schema": "v1", "ts": ts, "points": list(points), "meta": meta}
    return f"traksense/{tenant}/site/{device}/telem", json.dumps(payload).encode()
