"""A master that works on, separated from its replica, which is promoted meanwhile: what it acknowledged is lost, unless
a PUBACK waits for the replica."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.streams import SeveralServers
from tests.support.separated import MEANWHILE, appended, publish, several_servers, start_receiver
from tests.support.services import Services
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.long


@pytest.fixture(params=["sentinel", "cluster"])
async def streams(request: pytest.FixtureRequest, services: Services, tmp_path: Path) -> AsyncIterator[SeveralServers]:
    async with several_servers(services, tmp_path, request.param) as streams:
        yield streams


async def test_what_a_separated_master_acknowledged_is_lost_without_replicas(
    stack: Stack, streams: SeveralServers
) -> None:
    receiver = await start_receiver(stack, streams, replicas=0)
    master = await streams.master_of(0)
    async with streams.network.separated(master):
        await publish(stack, 1, MEANWHILE)
        await eventually(lambda: appended(receiver) == 1 + MEANWHILE, "all of them are acknowledged")
        await streams.is_promoted(0, master)
    await streams.ready()
    await stack.writer(**streams.variables)
    await publish(stack, 1 + MEANWHILE, 1)
    await stack.has_rows("ts_measure", 2)  # the first, and the last; what was appended between them is gone


async def test_a_separated_master_acknowledges_nothing_with_a_replica(stack: Stack, streams: SeveralServers) -> None:
    receiver = await start_receiver(stack, streams, replicas=1)
    master = await streams.master_of(0)
    async with streams.network.separated(master):
        await publish(stack, 1, MEANWHILE)
        await receiver.says("redis can't be used, waiting for it")  # no replica confirms, or the cluster is down
        await streams.is_promoted(0, master)
        await receiver.says("has 0 replicas, and INGEST_REPLICAS is 1")  # the new master, for which it leaves the old
        assert appended(receiver) == 1
    await stack.writer(**streams.variables)
    await stack.has_rows("ts_measure", 1 + MEANWHILE)
