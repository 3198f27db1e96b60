"""The broker, Redis and PostgreSQL of a scenario: started for it, or your own by URL."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg

from bench.packets import V5, V311
from traksense_ingest.ops.embedded import Broker, Server, free_port
from traksense_ingest.ops.embedded.debian import DEBIAN, EMBEDDED, Services
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.shared.streams import client as stream
from traksense_ingest.shared.streams.keys import key_of

KINDS: Mapping[str, Services] = {services.name: services for services in (EMBEDDED, DEBIAN)}
# For latency: when each row was committed, and how long its write to disk took. Both cost next to nothing.
OPTIONS = {"track_commit_timestamp": "on", "track_wal_io_timing": "on"}


class NotEmpty(Exception):
    """A Redis of your own has streams that this would drain or delete."""


@dataclass(frozen=True)
class Own:
    """Servers of your own, by URL; None: one is started."""

    mqtt: str | None = None
    redis: str | None = None
    database: str | None = None


@dataclass(frozen=True)
class Servers:
    """Their URLs, the process ids of those that were started here, and their versions."""

    brokers: Mapping[str, str]  # protocol: URL
    redis_url: str
    database_url: str
    pids: Mapping[str, int]  # by role
    versions: Mapping[str, str]
    kind: Services  # that more of them are to be of


@asynccontextmanager
async def running(kind: Services, own: Own, directory: Path) -> AsyncIterator[Servers]:
    """Servers with a migrated, empty database; what was started ends, what was made is removed.

    Raises NotEmpty, and what their clients raise.
    """
    async with AsyncExitStack() as lifetimes:
        pids = {}

        async def start(role: str, server: Server) -> Server:
            await asyncio.to_thread(server.start)
            lifetimes.push_async_callback(asyncio.to_thread, server.stop)
            pids[role] = server.pid or 0
            return server

        brokers = _same(own.mqtt) if own.mqtt else _urls(await start("broker", kind.broker(directory)))
        redis_url = own.redis or (await start("redis", kind.redis(directory))).url
        if own.database:
            database_url = await lifetimes.enter_async_context(_fresh_database(own.database))
        else:
            postgres = kind.postgres_type(directory / "postgres", free_port(), OPTIONS)
            database_url = (await start("postgres", postgres)).url
        await migrate(database_url)
        await _require_empty(redis_url)
        versions = await _versions(kind, own, redis_url, database_url)
        yield Servers(brokers, redis_url, database_url, pids, versions, kind)


def _urls(broker: Server) -> dict[str, str]:
    """A listener for each version of the protocol, or one for both."""
    v5 = broker.v5_url if isinstance(broker, Broker) else None
    return {V311: broker.url, V5: v5 or broker.url}


def _same(url: str) -> dict[str, str]:
    return {V311: url, V5: url}


@asynccontextmanager
async def _fresh_database(url: str) -> AsyncIterator[str]:
    """A database beside the one in the URL, dropped at the end: the one in the URL is not touched."""
    name = f"traksense_bench_{secrets.token_hex(4)}"
    base, _, query = url.partition("?")
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{base.rpartition('/')[0]}/{name}{'?' + query if query else ''}"
        finally:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


async def _require_empty(url: str) -> None:
    async with stream.connect(url) as clients:
        async for key in clients.of(key_of(0)).scan_iter(match="ingest:*", count=10_000):
            raise NotEmpty(f"this Redis has {key.decode()}: the benchmark needs one without streams")


async def _versions(kind: Services, own: Own, redis_url: str, database_url: str) -> dict[str, str]:
    return {
        "broker": "by URL" if own.mqtt else _broker_version(kind),
        "redis": await _redis_version(redis_url),
        "database": await _database_version(database_url),
    }


def _broker_version(kind: Services) -> str:
    if kind is EMBEDDED:
        return f"rumqttd (iotcore {version('iotcore')})"
    output = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, check=False).stdout
    return output.partition("\n")[0]


async def _redis_version(url: str) -> str:
    async with stream.connect(url) as clients:
        info: dict[str, Any] = await clients.of(key_of(0)).info("server")
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"


async def _database_version(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        number = await connection.fetchval("SHOW server_version")
        timescaledb = await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    finally:
        await connection.close()
    return f"PostgreSQL {number}" + (f", TimescaleDB {timescaledb}" if timescaledb else ", without TimescaleDB")
