"""The harness itself: what it breaks is broken, and the signs by which it judges are right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import cast

import pytest

from tests.chaos import pipeline
from tests.chaos.fault import Fault
from tests.chaos.faults import FAULTS, PROMOTION, short_form_of_nodes
from tests.chaos.load import TENANTS, identity_of, message, moment_of
from tests.chaos.pipeline import Pipeline, restart_unresponsive
from tests.chaos.proxy import SLOW_CHUNK, Proxy
from tests.chaos.redis_faults import OF_REDIS
from tests.chaos.run import shows
from tests.chaos.setup import FSYNCS, set_up
from tests.chaos.signs import Figures, Sign, has_grown
from tests.chaos.tap import Seen, Tap
from tests.support.services import DEBIAN, EMBEDDED
from tests.support.waiting import eventually, pause, watching
from traksense_ingest.ops.embedded import Broker


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [({1: 5.0}, {1: 5.0}, False), ({1: 5.0}, {1: 6.0}, True), ({1: 5.0}, {2: 0.0}, False), ({1: 5.0}, {2: 1.0}, True)],
)
def test_a_new_process_counts_from_0(before: Figures, after: Figures, grown: bool) -> None:
    assert has_grown(before, after) == grown


@pytest.mark.parametrize("fsync", [None, *FSYNCS])
def test_a_seed_and_what_is_given_decide_on_the_setup(fsync: str | None) -> None:
    for seed in range(10):
        given, drawn = Random(seed), Random(seed)
        by_seed = set_up(DEBIAN, drawn).fsync
        assert set_up(DEBIAN, given, fsync=fsync).fsync == (fsync or by_seed)
        assert given.random() == drawn.random(), "the same faults"
    assert {set_up(DEBIAN, Random(seed)).fsync for seed in range(10)} == set(FSYNCS)


def test_the_head_says_what_the_run_is_made_of() -> None:
    heads = [set_up(services, Random(0), fsync=fsync).head for services in (EMBEDDED, DEBIAN) for fsync in FSYNCS]
    embedded, debian = "two receivers, one a tenant; two writers", "two receivers that share; two writers"
    assert heads == [
        f"embedded servers; Valkey, appendfsync always, WAITAOF; 200 messages/s; {embedded}",
        f"embedded servers; Valkey, appendfsync everysec, WAITAOF; 100 messages/s; {embedded}",
        f"debian servers; Redis, appendfsync always; 200 messages/s; {debian}",
        f"debian servers; Valkey, appendfsync everysec, WAITAOF; 200 messages/s; {debian}",
    ]


@pytest.mark.parametrize(("layout", "redis"), [("cluster", "a cluster of 3 masters"), ("sentinel", "with 3 Sentinels")])
def test_several_nodes_have_three_writers_and_faults_of_their_own(layout: str, redis: str) -> None:
    setup = set_up(DEBIAN, Random(0), layout=layout)
    assert redis in setup.head
    assert "; PostgreSQL with a synchronous standby; " in setup.head
    assert "; three writers" in setup.head
    chosen = short_form_of_nodes([*FAULTS, *OF_REDIS[layout]], Random(0))
    assert 3 <= len(chosen) <= 4
    assert {f"{layout}: master, kill -9", PROMOTION} <= {fault.name for fault in chosen}
    assert all(fault in OF_REDIS[layout] for fault in chosen if fault.name != PROMOTION)


async def test_a_proxy_stalls_some_addresses_alone() -> None:
    async with echoing() as (proxy, port):
        connections = {
            address: await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            for address in ("127.0.1.1", "127.0.1.2")
        }
        async with proxy.stalls("127.0.1.1"):
            for _, writer in connections.values():
                writer.write(b"a")
            assert await connections["127.0.1.2"][0].readexactly(1) == b"a"
            held = asyncio.create_task(connections["127.0.1.1"][0].readexactly(1))
            await eventually(lambda: proxy.disturbed == 1)
            assert not held.done()
        assert await held == b"a"
        for _, writer in connections.values():
            writer.close()


def test_every_message_is_another() -> None:
    sent = [message(number) for number in range(1000)]
    assert len({(each.topic, each.payload) for each in sent}) == 1000
    assert moment_of(1) - moment_of(0) == timedelta(milliseconds=1)
    kinds = {"telem", "cmd", "ack", "event", "state", "poison"}
    assert {identity_of(number).kind for number in range(1000)} == kinds
    assert {(each.kind, each.topic) for each in sent if each.kind != "telem"} == {
        (kind, f"traksense/{tenant}/site/device-{device}/{kind}")
        for kind in ("cmd", "ack", "event", "state")
        for tenant in TENANTS
        for device in range(20)
    }, "each device sends each kind"


def test_an_ack_is_of_a_command_that_its_device_was_sent() -> None:
    sent = [message(number) for number in range(1000)]
    commands = {(each.topic, json.loads(each.payload)["cmd_id"]) for each in sent if each.kind == "cmd"}
    acks = {
        (each.topic.replace("/ack", "/cmd"), json.loads(each.payload)["cmd_id"]) for each in sent if each.kind == "ack"
    }
    assert acks == commands
    assert len(acks) == 50


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_the_tap_reads_packets_however_they_are_cut(chunk: int) -> None:
    topic = b"\x00\x01t"
    long = b"x" * 300
    qos_1 = b"\x32" + b"\x0a" + topic + b"\x00\x07" + b"hello"
    redelivered = b"\x3a" + b"\xb1\x02" + topic + b"\x01\x02" + long
    qos_0 = b"\x30" + b"\x05" + topic + b"hi"
    seen = Seen()
    tap = Tap(seen)
    for data in (b"\x20\x02\x00\x00", qos_1, b"\xd0\x00", redelivered, qos_0):
        for at in range(0, len(data), chunk):
            tap.to_client(data[at : at + chunk])
    assert seen.delivered.keys() == {b"hello", long, b"hi"}
    assert not seen.acknowledged
    puback = b"\xc0\x00" + b"\x40\x02\x01\x02"
    for at in range(0, len(puback), chunk):
        tap.to_server(puback[at : at + chunk])
    assert seen.acknowledged == {long}


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Proxy, int]]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        proxy = Proxy(server.sockets[0].getsockname()[1], Random(0))
        async with proxy.listening() as port:
            yield proxy, port


async def test_a_proxy_passes_stalls_and_goes_on() -> None:
    async with echoing() as (proxy, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        assert proxy.disturbed == 0
        waiting = asyncio.create_task(reader.readexactly(1))
        async with proxy.stalls():
            writer.write(b"b")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting), 0.2)
        assert await waiting == b"b"
        assert proxy.disturbed == 1
        async with proxy.is_slow():
            writer.write(b"c")
            assert await reader.readexactly(1) == b"c"
            assert proxy.disturbed == 1, "fast enough for this"
            writer.write(b"d" * 3 * SLOW_CHUNK)
            assert await reader.readexactly(3 * SLOW_CHUNK) == b"d" * 3 * SLOW_CHUNK
            assert proxy.disturbed > 1
        writer.close()


async def test_a_fault_lasts_until_its_sign_is_seen() -> None:
    """The figure grows at the fifth reading: before that nothing has happened."""
    readings = 0

    async def read(_: Pipeline) -> Figures:
        nonlocal readings
        readings += 1
        return {1: 5.0 + (readings >= 5)}

    fault = Fault("database: slow to show", _harmless, Sign("nothing has grown", read))
    pipeline = cast(Pipeline, None)
    assert await shows(pipeline, fault, {1: 5.0})
    assert readings == 5
    assert not await shows(pipeline, fault, {1: 6.0}, limit_s=0.1)
    assert await shows(pipeline, replace(fault, sign=None), {})


@asynccontextmanager
async def _harmless(_: Pipeline) -> AsyncIterator[None]:
    yield


async def test_a_proxy_resets() -> None:
    async with echoing() as (proxy, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"a")
        await reader.readexactly(1)
        async with proxy.resets():
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
            again, _ = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises(ConnectionResetError):
                await again.readexactly(1)


async def test_a_half_open_connection_answers_nothing_and_new_ones_are_fine() -> None:
    async with echoing() as (proxy, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"a")
        await reader.readexactly(1)
        async with proxy.goes_half_open():
            writer.write(b"b")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(1), 0.2)
        fresh, other = await asyncio.open_connection("127.0.0.1", port)
        other.write(b"c")
        assert await fresh.readexactly(1) == b"c"
        for end in (writer, other):
            end.close()


class Deaf(Broker):
    """It has started, and answers nobody until it is started again."""

    running = True
    starts = 0

    def serves(self) -> bool:
        return self.starts > 0

    def kill(self) -> None:
        self.running = False

    def start(self) -> Deaf:
        self.starts, self.running = self.starts + 1, True
        return self


@pytest.mark.parametrize(("running", "starts"), [(True, 1), (False, 0)])
async def test_a_broker_that_answers_nobody_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: bool, starts: int
) -> None:
    monkeypatch.setattr(pipeline, "CHECK_BROKER_S", 0.01)
    broker = Deaf(tmp_path, 0, 0)
    broker.running = running
    async with watching(restart_unresponsive(broker)):
        if running:
            await eventually(lambda: broker.starts == starts)
        await pause(0.2)
    assert broker.starts == starts, "not one that a fault has stopped"
