"""The faults: each is begun, lasts as long as its block, and is over at the block's end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from random import Random

from ops.embedded import Server
from tests.chaos.pipeline import CLAIM_IDLE_MS, MEMORY, ROLE, Pipeline, Service
from tests.chaos.signs import Sign, counted, disturbed, error, told_by_database
from tests.support.waiting import eventually

FREEZE_S = 2.5 * CLAIM_IDLE_MS / 1000  # beyond the time after which others take its entries

Inflict = Callable[[Pipeline], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """One way in which something breaks."""

    name: str
    inflict: Inflict
    sign: Sign | None = None  # that it has bitten; None where it can't but have: a process is killed or stopped
    lasts_s: float = 2.0
    is_slow: bool = False  # over only after a time-out: not in the short form
    ends_broker: bool = False  # only for one that keeps its sessions


def all_faults(pipeline: Pipeline) -> list[Fault]:
    """Those that can be inflicted on this pipeline."""
    return [fault for fault in _FAULTS if pipeline.broker_survives or not fault.ends_broker]


# What a wrong order of steps – PUBACK before the append, XACK before COMMIT – and a lost claim can't survive.
TELLING = (
    "redis: away; receiver: kill -9",
    "database: away; writer: kill -9",
    "writer: frozen, wakes up",
    "all but the broker: kill -9",
)


def short_form(faults: Sequence[Fault], random: Random) -> Sequence[Fault]:
    """A dozen, in random order: those that tell most, and others that are over soon."""
    telling = [fault for fault in faults if fault.name in TELLING]
    others = [fault for fault in faults if fault.name not in TELLING and not fault.is_slow]
    chosen = [*telling, *random.sample(others, min(len(others), 12 - len(telling)))]
    random.shuffle(chosen)
    return chosen


def every(faults: Sequence[Fault], random: Random, times: int) -> Sequence[Fault]:
    """All of them, so many times, in random order."""
    chosen = list(faults) * times
    random.shuffle(chosen)
    return chosen


def _killed(services: Callable[[Pipeline], list[Service]]) -> Inflict:
    @asynccontextmanager
    async def inflict(pipeline: Pipeline) -> AsyncIterator[None]:
        victim = pipeline.random.choice(services(pipeline))
        await victim.kill()
        yield
        victim.start()

    return inflict


def _frozen(services: Callable[[Pipeline], list[Service]]) -> Inflict:
    @asynccontextmanager
    async def inflict(pipeline: Pipeline) -> AsyncIterator[None]:
        process = pipeline.random.choice(services(pipeline)).process
        process.signal(signal.SIGSTOP)
        yield
        process.signal(signal.SIGCONT)

    return inflict


def _ended(server: Callable[[Pipeline], Server], signum: int) -> Inflict:
    @asynccontextmanager
    async def inflict(pipeline: Pipeline) -> AsyncIterator[None]:
        victim = server(pipeline)
        if signum == signal.SIGKILL:
            await asyncio.to_thread(victim.kill)
        else:
            assert victim.pid is not None
            os.kill(victim.pid, signum)
            await eventually(lambda: not victim.running, f"{victim.name} has ended")
        yield
        await asyncio.to_thread(victim.start)

    return inflict


def _linked(link: str, what: str) -> Inflict:
    def inflict(pipeline: Pipeline) -> AbstractAsyncContextManager[None]:
        fault: AbstractAsyncContextManager[None] = getattr(pipeline.links[link], what)()
        return fault

    return inflict


def _meanwhile(outer: Inflict, inner: Inflict) -> Inflict:
    """One fault in the middle of another: what waited for the one to end meets the other."""

    @asynccontextmanager
    async def inflict(pipeline: Pipeline) -> AsyncIterator[None]:
        async with outer(pipeline):
            await asyncio.sleep(1.0)
            async with inner(pipeline):
                yield

    return inflict


@asynccontextmanager
async def _machine_lost(pipeline: Pipeline) -> AsyncIterator[None]:
    """All but the broker, at once."""
    servers = (pipeline.redis_server, pipeline.postgres)
    kills = [service.kill() for service in pipeline.services]
    await asyncio.gather(*kills, *(asyncio.to_thread(server.kill) for server in servers))
    yield
    for server in servers:
        await asyncio.to_thread(server.start)
    for service in pipeline.services:
        service.start()


@asynccontextmanager
async def _redis_full(pipeline: Pipeline) -> AsyncIterator[None]:
    await pipeline.redis.config_set("maxmemory", 1)
    yield
    await pipeline.redis.config_set("maxmemory", MEMORY)


def _altered(statement: str, undo: str) -> Inflict:
    """Something that new sessions of the writers find different; theirs are ended as a failover ends them."""

    @asynccontextmanager
    async def inflict(pipeline: Pipeline) -> AsyncIterator[None]:
        ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'"
        await pipeline.administer(statement, ended)
        yield
        await pipeline.administer(undo)

    return inflict


def _receivers(pipeline: Pipeline) -> list[Service]:
    return pipeline.receivers


def _writers(pipeline: Pipeline) -> list[Service]:
    return pipeline.writers


def _broker(pipeline: Pipeline) -> Server:
    return pipeline.broker


def _redis(pipeline: Pipeline) -> Server:
    return pipeline.redis_server


def _database(pipeline: Pipeline) -> Server:
    return pipeline.postgres


_BROKER_AWAY, _REDIS_AWAY, _DATABASE_AWAY = error("mqtt_error"), error("redis_error"), error("db_error")
_AWAY = {"broker": _BROKER_AWAY, "redis": _REDIS_AWAY, "database": _DATABASE_AWAY}


def _of_link(link: str) -> list[Fault]:
    """A stall and slowness are over before any time-out is: what they did is seen in the proxy alone."""
    # MQTT and the database are waited for longer than Redis.
    is_slow = link != "redis"
    return [
        Fault(f"{link} connection: reset", _linked(link, "resets"), _AWAY[link]),
        Fault(f"{link} connection: stalled", _linked(link, "stalls"), disturbed(link)),
        Fault(f"{link} connection: slow", _linked(link, "is_slow"), disturbed(link)),
        Fault(f"{link} connection: half-open", _linked(link, "goes_half_open"), _AWAY[link], is_slow=is_slow),
    ]


_FAULTS = (
    Fault("receiver: kill -9", _killed(_receivers)),
    Fault("receiver: frozen", _frozen(_receivers)),
    Fault("writer: kill -9", _killed(_writers)),
    Fault("writer: frozen, wakes up", _frozen(_writers), counted("ingest_redeliveries_total"), FREEZE_S),
    Fault("redis: kill -9", _ended(_redis, signal.SIGKILL), _REDIS_AWAY),
    Fault("redis: stopped", _ended(_redis, signal.SIGTERM), _REDIS_AWAY),
    Fault("redis: maxmemory", _redis_full, _REDIS_AWAY),
    Fault("database: kill -9", _ended(_database, signal.SIGKILL), _DATABASE_AWAY),
    Fault("database: stopped (fast)", _ended(_database, signal.SIGINT), _DATABASE_AWAY),
    Fault("database: stopped (immediate)", _ended(_database, signal.SIGQUIT), _DATABASE_AWAY),
    Fault(
        "database: read-only (25006)",
        _altered(
            f"ALTER ROLE {ROLE} SET default_transaction_read_only = on",
            f"ALTER ROLE {ROLE} RESET default_transaction_read_only",
        ),
        told_by_database("in a read-only transaction"),
    ),
    Fault(
        "database: no connections (53300)",
        _altered(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0", f"ALTER ROLE {ROLE} CONNECTION LIMIT -1"),
        told_by_database("too many connections for role"),
    ),
    Fault(
        "database: statements time out",
        _altered(
            f"ALTER ROLE {ROLE} SET statement_timeout = '1ms'",
            f"ALTER ROLE {ROLE} RESET statement_timeout",
        ),
        told_by_database("canceling statement due to statement timeout"),
    ),
    Fault("broker: kill -9", _ended(_broker, signal.SIGKILL), _BROKER_AWAY, ends_broker=True),
    Fault("broker: stopped", _ended(_broker, signal.SIGTERM), _BROKER_AWAY, ends_broker=True),
    *(fault for link in _AWAY for fault in _of_link(link)),
    Fault("all but the broker: kill -9", _machine_lost),
    Fault(
        "redis: away; receiver: kill -9",
        _meanwhile(_ended(_redis, signal.SIGTERM), _killed(_receivers)),
        _REDIS_AWAY,
        lasts_s=1.0,
    ),
    Fault(
        "database: away; writer: kill -9",
        _meanwhile(_ended(_database, signal.SIGINT), _killed(_writers)),
        _DATABASE_AWAY,
        lasts_s=1.0,
    ),
    Fault(
        "database: away; receiver: kill -9",
        _meanwhile(_ended(_database, signal.SIGINT), _killed(_receivers)),
        _DATABASE_AWAY,
        lasts_s=3.0,
    ),
)
