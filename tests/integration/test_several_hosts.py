"""DATABASE_URL with several hosts, libpq's form: the one that takes writes is found, also after a failover."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support import program
from tests.support.decoding import v1_routes
from tests.support.services import Services
from tests.support.stack import START, Stack, telem
from tests.support.standby import connected, fail_over, replicate
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server, free_port
from traksense_ingest.ops.embedded.postgres import PostgresServer
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.shared.database import check, connect, open_pool
from traksense_ingest.shared.session import NoServer
from traksense_ingest.writer.entry import Entry, parse_entry
from traksense_ingest.writer.outcome import Decoded, Outcome
from traksense_ingest.writer.store.devices import DeviceRegistry
from traksense_ingest.writer.store.tables import Tables

COPIED_A_SECOND_LATER = """
    INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num)
    SELECT tenant_id, device_id, point_id, ts + interval '1 s', v_num FROM ts_measure
"""
WAITS_FOR_STANDBY = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


def among(*servers: Server, query: str = "", **before: int) -> str:
    """A URL of these, in order."""
    hosts = [f"[::1]:{port}" for port in before.values()] + [f"127.0.0.1:{server.port}" for server in servers]
    return f"postgresql://postgres:postgres@{','.join(hosts)}/traksense{query}"


@pytest.fixture
async def pair(services: Services, tmp_path: Path) -> AsyncIterator[tuple[PostgresServer, PostgresServer]]:
    """A primary with the tables, and its standby: what is committed is on both."""
    primary = services.postgres_type(tmp_path / "primary", free_port())
    standby = services.postgres_type(tmp_path / "standby", free_port())
    try:
        await asyncio.to_thread(primary.start)
        await migrate(primary.url)
        await replicate(primary, standby)
        yield primary, standby
    finally:
        for server in (primary, standby):
            await asyncio.to_thread(server.kill)


async def test_a_standby_is_promoted_under_load(
    services: Services, pair: tuple[PostgresServer, PostgresServer], tmp_path: Path
) -> None:
    """The standby comes first in the list; nobody restarts a writer."""
    primary, standby = pair
    url = among(standby, primary, nobody=free_port())
    with services.broker(tmp_path) as broker, services.redis(tmp_path) as redis:
        stack = Stack(broker, redis, url, tmp_path)
        writers = [await stack.writer(INGEST_CLAIM_IDLE_MS=1000, INGEST_BATCH_SIZE=10) for _ in range(2)]

        async def load() -> None:
            for second in range(600):
                await stack.append(*telem(f"dev{second % 7}", second))

        loading = asyncio.create_task(load())
        async with connected(standby) as looking:
            await eventually(lambda: looking.fetchval("SELECT count(*) >= 100 FROM ts_measure"))
            await fail_over(primary, standby)
            await loading
            await stack.has_rows("ts_measure", 600)
            stored = {tuple(row) for row in await looking.fetch("SELECT device_id, ts FROM ts_measure")}
            assert stored == {(f"dev{second % 7}", START + timedelta(seconds=second)) for second in range(600)}
            assert await looking.fetchval("SELECT count(*) FROM ingest_errors") == 0
        done = await run(stack, "migrate")
        assert (done.returncode, done.stdout) == (0, "nothing to do: the database is up to date\n"), done.stderr
        done = await run(stack, "dlq list")
        assert done.returncode == 0, done.stderr
        done = await run(stack, "status --skip broker --sample 0 --timeout 30 --json")
        assert '"database": {"state": "up"' in done.stdout, done.stdout
        assert "postgres:postgres@" not in done.stdout
        assert [writer.stop() for writer in writers] == [0, 0]
        await stack.close()


@pytest.mark.long
async def test_duplicates_wait_until_the_standby_has_them(pair: tuple[PostgresServer, PostgresServer]) -> None:
    """A COMMIT that waited for the standby has timed out: its rows are on the primary alone, and the next try finds
    nothing new."""
    primary, standby = pair
    decoder = v1_routes(10_000, 600)
    pool = await open_pool(primary.url, 1, 1)
    tables = Tables(pool, DeviceRegistry())
    first, second = (stored_by(decoder.decode(entry(*telem("dev", second)))) for second in (0, 1))
    await tables.write([first])
    await asyncio.to_thread(standby.kill)
    async with connected(primary) as connection:
        await connection.execute("SET synchronous_commit = local")
        await connection.execute(COPIED_A_SECOND_LATER)
        writing = asyncio.create_task(tables.write([second]))
        await eventually(lambda: connection.fetchval(WAITS_FOR_STANDBY))
        assert not writing.done()
        await asyncio.to_thread(standby.start)
        assert (await writing).duplicates["telem"] == 1
    pool.terminate()


def entry(topic: str, payload: bytes) -> Entry:
    return parse_entry("s", b"1700000000000-0", [b"topic", topic.encode(), b"payload", payload])


def stored_by(outcome: Outcome) -> Decoded:
    assert isinstance(outcome, Decoded)
    return outcome


@pytest.mark.long
async def test_which_of_them_is_taken(pair: tuple[PostgresServer, PostgresServer]) -> None:
    primary, standby = pair
    nobody = free_port()
    for query, taken in (
        ("", primary),
        ("?target_session_attrs=read-write", primary),
        ("?target_session_attrs=primary", primary),
        ("?target_session_attrs=any", standby),
        ("?target_session_attrs=standby", standby),
        ("?target_session_attrs=read-only", standby),
        ("?target_session_attrs=prefer-standby", standby),
    ):
        assert await port_of(among(standby, primary, query=query, nobody=nobody)) == taken.port, query
    listed = f"?host=127.0.0.1,127.0.0.1&port={standby.port},{primary.port}"
    assert await port_of(f"postgresql://postgres:postgres@/traksense{listed}") == primary.port
    await check(among(standby, primary))
    assert await port_of(among(primary, primary, query="?target_session_attrs=prefer-standby")) == primary.port
    with pytest.raises(NoServer, match=rf"\[::1\]:{nobody}: .*; 127.0.0.1:{standby.port}: it is a standby"):
        await connect(among(standby, nobody=nobody))
    async with connected(primary) as connection:
        await connection.execute("ALTER DATABASE traksense SET default_transaction_read_only = on")
    with pytest.raises(NoServer, match="it is read-only"):
        await connect(among(standby, primary))


async def say_nothing(_reader: object, _writer: object) -> None:
    await asyncio.Event().wait()


@pytest.mark.long
async def test_a_host_that_says_nothing_does_not_take_the_others_time(stack: Stack) -> None:
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        address = urlsplit(stack.database_url)
        url = (
            f"postgresql://postgres:postgres@127.0.0.1:{port},127.0.0.1:{address.port}{address.path}?connect_timeout=1"
        )
        writer = await stack.writer(DATABASE_URL=url)
        await stack.append(*telem())
        await stack.has_rows("ts_measure", 1)
        assert writer.stop() == 0


async def port_of(url: str) -> int:
    connection = await connect(url)
    try:
        return int(await connection.fetchval("SELECT inet_server_port()"))
    finally:
        connection.terminate()


async def run(stack: Stack, words: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        program.run, "ops", *words.split(), environment={"COLUMNS": "200", **stack.environment}
    )
