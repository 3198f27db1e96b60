"""What the ledgers say after a failover: entries that are gone are counted once, others are not, and the counts balance
again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.chaos.streams import SeveralServers
from tests.support.failover import follow
from tests.support.ledger_watch import Watch
from tests.support.ledgers import GONE, fill, remembers
from tests.support.redis_cluster import ask, redis_server
from tests.support.separated import MEANWHILE, publish, several_servers, start_receiver, two_masters
from tests.support.services import Services
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.shared import database
from traksense_ingest.shared.streams.client import ServerClients
from traksense_ingest.shared.streams.keys import key_of

LAYOUTS = ("sentinel", "cluster")


@pytest.fixture(params=LAYOUTS)
async def streams(request: pytest.FixtureRequest, services: Services, tmp_path: Path) -> AsyncIterator[SeveralServers]:
    async with several_servers(services, tmp_path, request.param) as streams:
        yield streams


@pytest.mark.long
async def test_entries_that_the_old_master_had_unsettled_count_as_lost(stack: Stack, streams: SeveralServers) -> None:
    await start_receiver(stack, streams, replicas=0)
    variables = streams.variables | {"INGEST_REPLICAS": "0"}
    writer = await stack.writer(**variables, INGEST_BATCH_SIZE=1)
    await stack.has_rows("ts_measure", 1)
    await remembers(stack, stored=1, in_stream=0)
    async with stack.locked("ts_measure"):
        async with two_masters(streams):
            await publish(stack, 1, MEANWHILE)
            await remembers(stack, in_stream=MEANWHILE)
        await writer.says(f"{MEANWHILE} entries that were not settled are gone")
        await remembers(stack, lost=MEANWHILE, in_stream=0)
        await eventually(lambda: writer.metric("ingest_lost_entries") == MEANWHILE)
        checked = await stack.status(**variables)
        assert (checked.returncode, f"{MEANWHILE} entries are lost" in checked.stdout) == (1, True), checked.stdout
    accepted = await stack.status("--accept-loss", **variables)
    assert f"ingest:{{0}}: {MEANWHILE} entries accepted as lost\n" in accepted.stdout
    await publish(stack, 1 + MEANWHILE, 1)
    await remembers(stack, added=2, stored=2, in_stream=0, lost=0)
    await eventually(lambda: writer.metric("ingest_lost_entries") == 0)
    assert await balance(stack, variables) == (True, 0, 0)


@pytest.mark.long
async def test_entries_that_the_old_master_settled_do_not_count_as_lost(stack: Stack, streams: SeveralServers) -> None:
    await start_receiver(stack, streams, replicas=0)
    variables = streams.variables | {"INGEST_REPLICAS": "0"}
    writers = [await stack.writer(**variables) for _ in range(2)]
    async with two_masters(streams):
        await publish(stack, 1, MEANWHILE)
        await stack.has_rows("ts_measure", 1 + MEANWHILE)
        await remembers(stack, stored=1 + MEANWHILE, in_stream=0)
    await publish(stack, 1 + MEANWHILE, 1)
    await stack.has_rows("ts_measure", 2 + MEANWHILE)
    await remembers(stack, added=2, stored=2, in_stream=0, lost=0)
    assert await balance(stack, variables) == (True, 0, 0)
    assert [writer.metric("ingest_lost_entries") for writer in writers] == [0, 0]
    assert not [writer.log for writer in writers if "ERROR" in writer.log]


async def balance(stack: Stack, variables: Mapping[str, str]) -> tuple[bool, int, int]:
    """As status says: whether the counts balance, and what is missing and lost of shard 0."""
    report = json.loads((await stack.status("--json", **variables)).stdout)
    shard = report["shards"][0]
    return report["balanced"], shard["missing"], shard["lost"]


class Moving(ServerClients):
    """Its connections lead to one Redis, and later to another."""

    def move(self, client: Redis) -> None:
        self._client = client


async def test_writers_on_both_sides_count_what_is_lost_once(
    stack: Stack, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two of them stay at the old master, one comes to the new one at once; receivers are on both sides, too."""
    monkeypatch.setattr("traksense_ingest.writer.watch.ledger_step.YOUNG_S", -1)
    monkeypatch.setattr("traksense_ingest.writer.watch.ledger_step.SPLIT_AFTER", timedelta())
    pool = await database.open_pool(stack.database_url, 1, 2)
    with redis_server(services, tmp_path / "replica") as replica:
        await follow(replica, stack.redis_server)
        new: Redis = Redis.from_url(replica.url, protocol=2)
        moving = [Moving(stack.redis) for _ in range(3)]
        first, stays, also_stays = (Watch(clients, pool) for clients in moving)
        await fill(stack, 10)
        await eventually(lambda: stack.redis_command("WAIT", "1", "100"))
        await first.check()
        await ask(replica, "REPLICAOF", "NO", "ONE")
        await fill(stack, 5, "old")
        for watch in (stays, also_stays):
            await watch.check()
        moving[0].move(new)
        assert (await first.check()).lost == 5
        for number in range(3):
            await new.xadd(key_of(0), {"topic": "t", "payload": str(number), "received_at": 1})
            await fill(stack, 2, f"old-{number}")
            for watch in (stays, also_stays, first):
                row = await watch.check()
                assert (row.lost, row.is_closed) == (5, False)
        assert (row.added, row.in_stream) == (13, 13)
        assert caplog.text.count("other writers use another Redis") == 2
        for clients in moving:
            clients.move(new)
        for watch in (stays, also_stays, first, stays):
            row = await watch.check()
            assert (row.lost, row.in_stream, row.missing) == (5 + 6, 13, 0)
        assert GONE.findall(caplog.text) == ["5", "6"]
        checked = await stack.status(REDIS_URL=replica.url)
        assert "11 entries are lost" in checked.stdout
        await new.aclose()
    pool.terminate()
