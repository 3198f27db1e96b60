"""A master that works on, separated from its replica, which is promoted meanwhile: what it acknowledged is lost, unless
a PUBACK waits for the replica."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from tests.chaos.setup import set_up
from tests.chaos.streams import SHARDS, SeveralServers, streams_on
from tests.support.process import Process
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import shard_of

pytestmark = pytest.mark.long

MEANWHILE = 20  # messages


@pytest.fixture(params=["sentinel", "cluster"])
async def streams(request: pytest.FixtureRequest, services: Services, tmp_path: Path) -> AsyncIterator[SeveralServers]:
    random = Random(0)
    setup = set_up(services, random, fsync="always", layout=request.param)
    async with streams_on(setup, tmp_path, random) as streams:
        assert isinstance(streams, SeveralServers)
        await streams.ready()
        yield streams


async def test_what_a_separated_master_acknowledged_is_lost_without_replicas(
    stack: Stack, streams: SeveralServers
) -> None:
    receiver = await started(stack, streams, replicas=0)
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
    receiver = await started(stack, streams, replicas=1)
    master = await streams.master_of(0)
    async with streams.network.separated(master):
        await publish(stack, 1, MEANWHILE)
        await receiver.says("0 of 1 replica confirmed the last messages")
        await streams.is_promoted(0, master)
        await receiver.says("has 0 replicas, and INGEST_REPLICAS is 1")  # the new master, for which it leaves the old
        assert appended(receiver) == 1
    await stack.writer(**streams.variables)
    await stack.has_rows("ts_measure", 1 + MEANWHILE)


async def started(stack: Stack, streams: SeveralServers, *, replicas: int) -> Process:
    """A receiver that has acknowledged a message which the replica has, too."""
    receiver = await stack.receiver(**streams.variables | {"INGEST_REPLICAS": str(replicas)})
    await publish(stack, 0, 1)
    await eventually(lambda: appended(receiver) == 1)
    await streams.ready()
    return receiver


async def publish(stack: Stack, first: int, count: int) -> None:
    """Messages of a device whose shard is 0, however many there are."""
    device = next(name for name in map(str, range(100)) if shard_of(telem(name)[0].encode(), SHARDS) == 0)
    await stack.publish(*(telem(device, second=second) for second in range(first, first + count)))


def appended(receiver: Process) -> float:
    return receiver.metric("ingest_appended_messages_total")
