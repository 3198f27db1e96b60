"""A transaction whose connection is lost: what is raised is why, and what the caller raised itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.support.waiting import eventually
from traksense_ingest.ops.schema.migrate import migration_lock
from traksense_ingest.shared.database import connected, in_transaction, open_pool, transaction

Begin = AbstractAsyncContextManager[Any]


@pytest.fixture(params=["of a pool", "of a connection"])
async def begun(request: pytest.FixtureRequest, database: str) -> AsyncIterator[Begin]:
    """A transaction that isn't begun yet."""
    if request.param == "of a pool":
        pool = await open_pool(database, 1, 1)
        yield transaction(pool)
        async with transaction(pool) as connection:
            assert await connection.fetchval("SELECT 1") == 1, "the pool is as before"
        pool.terminate()
        return

    @asynccontextmanager
    async def begin() -> AsyncIterator[Any]:
        async with connected(database) as connection, in_transaction(connection):
            yield connection

    yield begin()


async def terminate(url: str, pid: int | None = None) -> None:
    """End a session of a database, or all others."""
    async with connected(url) as other:
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid = {pid or 'pid'}"
        )


async def is_busy(url: str) -> bool:
    """Whether another session of a database is in the middle of a statement."""
    async with connected(url) as other:
        busy = await other.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'"
        )
    return bool(busy)


async def lose(url: str, connection: Any) -> None:
    """End its session, and wait until asyncpg has noticed."""
    await terminate(url, await connection.fetchval("SELECT pg_backend_pid()"))
    await eventually(lambda: is_lost(connection))


def is_lost(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


async def test_the_reason_is_the_servers(database: str, begun: Begin) -> None:
    async def work() -> None:
        async with begun as connection:
            running = asyncio.create_task(connection.fetchval("SELECT pg_sleep(60)"))
            await eventually(lambda: is_busy(database))
            await terminate(database)
            await running

    with pytest.raises(asyncpg.ConnectionDoesNotExistError, match="administrator command"):
        await work()


async def test_without_a_reason_it_is_said_that_the_connection_was_lost(database: str, begun: Begin) -> None:
    async def work() -> None:
        async with begun as connection:
            await lose(database, connection)
            await connection.fetchval("SELECT 1")

    with pytest.raises(ConnectionResetError, match="the connection was lost in a transaction"):
        await work()


@pytest.mark.parametrize("kind", [ValueError, ConnectionRefusedError, KeyError, asyncio.CancelledError])
async def test_what_the_caller_raises_stays(database: str, begun: Begin, kind: type[BaseException]) -> None:
    """Poison, an outage of something else, a bug, the end: the lost connection comes up by itself, and later."""

    async def work() -> None:
        async with begun as connection:
            await lose(database, connection)
            raise kind("the caller's")

    with pytest.raises(kind, match="the caller's"):
        await work()


async def test_a_cancellation_is_one(database: str, begun: Begin) -> None:
    async def work() -> None:
        async with begun as connection:
            await lose(database, connection)
            reached.set()
            await asyncio.Event().wait()

    reached = asyncio.Event()
    working = asyncio.create_task(work())
    await reached.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_what_dies_in_the_pool_is_replaced_or_says_why(database: str) -> None:
    """However the end of a session and the next transaction meet, asyncpg's own words are never the reason."""
    pool = await open_pool(database, 2, 2)
    stop = asyncio.Event()
    reasons: list[Exception] = []

    async def work() -> None:
        while not stop.is_set():
            try:
                async with transaction(pool) as connection:
                    await connection.fetchval("SELECT 1")
            except Exception as error:
                reasons.append(error)

    working = [asyncio.create_task(work()) for _ in range(4)]
    for _ in range(20):
        await terminate(database)
    stop.set()
    await asyncio.gather(*working)
    pool.terminate()
    assert not [error for error in reasons if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError)]


async def test_a_machine_that_vanishes_is_noticed_at_both_ends(database: str) -> None:
    """By the client's kernel, and while it migrates by the server's, which then lets go of the locks."""
    async with connected(database) as connection:
        here = connection._transport.get_extra_info("socket")
        assert here.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert here.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
    async with migration_lock(database) as connection:
        assert await connection.fetchval("SHOW tcp_keepalives_idle") == "10"
