"""The harness itself: what it is told by must be right, and it must be able to say no."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random

import asyncpg
import pytest

from ops.simulate.messages import Message
from shared import config
from tests.chaos.load import POINTS, Load, identity_of, message, moment_of
from tests.chaos.proxy import Proxy
from tests.chaos.tap import Seen, Tap
from tests.chaos.verdict import Verdict, judge
from tests.support.stack import Stack


def numbers(kind: str) -> list[int]:
    return [number for number in range(200) if identity_of(number).kind == kind]


@pytest.fixture
async def told(stack: Stack) -> AsyncIterator[tuple[Stack, Load, asyncpg.Connection]]:
    """A pipeline that has stored 200 messages, all of them acknowledged."""
    load = Load(config.load(mqtt_url=stack.broker.url), rate=1)
    load.published = 200
    await stack.writer()
    for number in range(200):
        sent: Message = message(number)
        await stack.append(sent.topic, sent.payload)
        load.record.add(sent)
    await stack.has_rows("ts_measure", POINTS * len(numbers("telem")))
    connection = await asyncpg.connect(stack.database_url)
    yield stack, load, connection
    await connection.close()


Told = tuple[Stack, Load, asyncpg.Connection]


async def verdict_after(told: Told, statement: str, broker_back_at: float = 0.0, seen: Seen | None = None) -> Verdict:
    _, load, connection = told
    await connection.execute(statement)
    return await judge(connection, load, seen or Seen(), broker_back_at)


async def test_all_is_well(told: Told) -> None:
    verdict = await verdict_after(told, "SELECT 1")
    assert verdict.is_good
    assert verdict.stored == verdict.acknowledged == frozenset(range(200))


@pytest.mark.parametrize(
    ("statement", "kind", "place"),
    [
        ("DELETE FROM ts_measure WHERE v_num = {}", "telem", "lost"),
        ("DELETE FROM cmd_ack WHERE cmd_id = '{}'", "ack", "lost"),
        ("DELETE FROM device_event WHERE event_id = '{}'", "event", "lost"),
        ("DELETE FROM ingest_errors WHERE payload = 'poison {}'", "poison", "lost"),
        ("DELETE FROM ts_measure WHERE v_num = {} AND point_id = 'p1'", "telem", "damaged"),
        ("UPDATE ts_measure SET v_num = 0 WHERE v_num = {}", "telem", "damaged"),
        (
            "INSERT INTO cmd_ack SELECT tenant_id, 'x', cmd_id, ok, NULL, NULL, payload FROM cmd_ack WHERE cmd_id='{}'",
            "ack",
            "duplicated",
        ),
    ],
)
async def test_what_is_wrong_is_found(told: Told, statement: str, kind: str, place: str) -> None:
    (number, *_) = numbers(kind)
    verdict = await verdict_after(told, statement.format(number))
    assert not verdict.is_good
    assert getattr(verdict, place) == {number}


async def test_a_good_message_among_the_dead_letters_is_found(told: Told) -> None:
    (number, *_) = numbers("telem")
    verdict = await verdict_after(told, f"UPDATE ingest_errors SET payload = 'poison {number}' WHERE id = 1")
    assert verdict.invented == {number}


async def test_what_a_broker_lost_is_not_the_pipelines_loss(told: Told) -> None:
    first, second, third, *_ = numbers("telem")
    _, load, _ = told
    load.record.confirmed[third] += 100  # the broker was back by then
    seen = Seen(acknowledged={message(second).payload})  # a receiver had it
    verdict = await verdict_after(
        told,
        f"DELETE FROM ts_measure WHERE v_num IN ({first}, {second}, {third})",
        broker_back_at=load.record.confirmed[second] + 10,
        seen=seen,
    )
    assert verdict.lost_by_broker == {first}
    assert verdict.lost == {second, third}


def test_every_message_is_another() -> None:
    sent = [message(number) for number in range(1000)]
    assert len({(each.topic, each.payload) for each in sent}) == 1000
    assert moment_of(1) - moment_of(0) == timedelta(milliseconds=1)
    assert {identity_of(number).kind for number in range(1000)} == {"telem", "ack", "event", "poison"}


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
    assert seen.delivered == {b"hello", long, b"hi"}
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
        waiting = asyncio.create_task(reader.readexactly(1))
        async with proxy.stalls():
            writer.write(b"b")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting), 0.2)
        assert await waiting == b"b"
        async with proxy.is_slow():
            writer.write(b"c")
            assert await reader.readexactly(1) == b"c"
        writer.close()


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


async def test_a_half_open_connection_is_silent_and_new_ones_are_fine() -> None:
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
