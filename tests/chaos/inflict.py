"""How a fault is inflicted: it begins with its block, lasts as long as the block, and is over at its end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tests.chaos.pipeline import ROLE, Pipeline
from tests.chaos.service import Service
from tests.chaos.streams import MEMORY, OneServer
from tests.support.failover import follow, hand_over
from tests.support.standby import fail_over, replicate
from tests.support.waiting import eventually, pause
from traksense_ingest.ops.embedded import Server

IN_FLIGHT_S = 0.1  # what a process has sent before it was frozen has passed the proxy and is executed by then

Inflict = Callable[[Pipeline], AbstractAsyncContextManager[None]]


def killed(services: Callable[[Pipeline], list[Service]]) -> Inflict:
    """`kill -9` of one of them."""

    @asynccontextmanager
    async def inflict(pipeline: Pipeline) -> AsyncIterator[None]:
        victim = pipeline.random.choice(services(pipeline))
        await victim.kill()
        yield
        victim.start()

    return inflict


@asynccontextmanager
async def receiver_frozen(pipeline: Pipeline) -> AsyncIterator[None]:
    """SIGSTOP, and SIGCONT at the end."""
    receiver = pipeline.random.choice(pipeline.receivers)
    receiver.freeze()
    yield
    receiver.thaw()


@asynccontextmanager
async def writer_frozen(pipeline: Pipeline) -> AsyncIterator[None]:
    """Frozen with entries pending, which others claim and it still has in hand when it wakes up."""
    writer = pipeline.random.choice(pipeline.writers)
    await eventually(lambda: _freeze_with_pending(pipeline, writer), "a writer is frozen with entries pending")
    yield
    writer.thaw()


async def _freeze_with_pending(pipeline: Pipeline, writer: Service) -> bool:
    """Freeze it if it has entries pending; one that had settled them by then goes on."""
    if not await pipeline.streams.pending_of(writer.process.popen.pid):
        return False
    writer.freeze()
    await pause(IN_FLIGHT_S)
    if await pipeline.streams.pending_of(writer.process.popen.pid):
        return True
    writer.thaw()
    return False


def ended(server: Callable[[Pipeline], Server], signum: int) -> Inflict:
    """A server gets a signal that ends it, and is started again."""

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


def linked(link: str, what: str) -> Inflict:
    """What the proxy between the services and a server can do to their connections."""

    def inflict(pipeline: Pipeline) -> AbstractAsyncContextManager[None]:
        fault: AbstractAsyncContextManager[None] = getattr(pipeline.links[link], what)()
        return fault

    return inflict


async def _is_noticed(pipeline: Pipeline) -> bool:
    return not all([await service.is_ready() for service in pipeline.services])


def meanwhile(outer: Inflict, inner: Inflict) -> Inflict:
    """One fault during another, once a service waits for the end of the first."""

    @asynccontextmanager
    async def inflict(pipeline: Pipeline) -> AsyncIterator[None]:
        async with outer(pipeline):
            await eventually(lambda: _is_noticed(pipeline), "a service is not ready")
            async with inner(pipeline):
                yield

    return inflict


@asynccontextmanager
async def machine_lost(pipeline: Pipeline) -> AsyncIterator[None]:
    """All but the broker, at once."""
    servers = (*pipeline.streams.servers, *pipeline.databases)
    kills = [service.kill() for service in pipeline.services]
    await asyncio.gather(*kills, *(asyncio.to_thread(server.kill) for server in servers))
    yield
    for server in servers:
        await asyncio.to_thread(server.start)
    for service in pipeline.services:
        service.start()


def one_server(pipeline: Pipeline) -> OneServer:
    """The Redis of a pipeline that has one."""
    assert isinstance(pipeline.streams, OneServer)
    return pipeline.streams


@asynccontextmanager
async def redis_full(pipeline: Pipeline) -> AsyncIterator[None]:
    """Redis refuses what needs memory."""
    redis = one_server(pipeline).redis
    await redis.config_set("maxmemory", 1)
    yield
    await redis.config_set("maxmemory", MEMORY)


@asynccontextmanager
async def failed_over(pipeline: Pipeline) -> AsyncIterator[None]:
    """A replica takes over for good. The old master lives on, and so do the connections to it."""
    streams = one_server(pipeline)
    replica = await streams.another()
    await follow(replica, streams.server)
    await hand_over(streams.server, replica, streams.proxy)
    streams.use(replica)
    yield


def altered(statement: str, undo: str) -> Inflict:
    """Something that new sessions of the writers find different; theirs are ended as a failover ends them."""

    @asynccontextmanager
    async def inflict(pipeline: Pipeline) -> AsyncIterator[None]:
        ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'"
        await pipeline.administer(statement, ended)
        yield
        await pipeline.administer(undo)

    return inflict


@asynccontextmanager
async def promoted(pipeline: Pipeline) -> AsyncIterator[None]:
    """kill -9 of the primary, and its standby is promoted; at the end the same again, the other way round."""
    primary, standby = pipeline.postgres, pipeline.standby
    if not pipeline.has_standby:
        await replicate(primary, standby)
    await fail_over(primary, standby)
    yield
    await replicate(standby, primary)
    await fail_over(standby, primary)
    if pipeline.has_standby:
        await replicate(primary, standby)


def refusing(statement: str, undo: str) -> Inflict:
    """The database refuses good messages, on the sessions that the writers have."""

    @asynccontextmanager
    async def inflict(pipeline: Pipeline) -> AsyncIterator[None]:
        await pipeline.administer(statement)
        yield
        await pipeline.administer(undo)

    return inflict
