"""The harness itself: what it is told by must be right, and it must be able to say no."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random

import asyncpg
import pytest

from ops.simulate.messages import Message
from shared import config
from shared.shard import read_shard
from tests.chaos.faults import Fault
from tests.chaos.load import POINTS, Load, identity_of, message, moment_of
from tests.chaos.pipeline import Pipeline
from tests.chaos.proxy import Proxy
from tests.chaos.run import Incident, Outcome, Watch
from tests.chaos.setup import FSYNCS, set_up
from tests.chaos.signs import Figures, error, has_grown
from tests.chaos.tap import Seen, Tap
from tests.chaos.verdict import UNSAVED_S, BrokerEnd, Verdict, judge
from tests.support.services import DEBIAN, EMBEDDED
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


async def verdict_after(
    told: Told, statement: str, ends: Sequence[BrokerEnd] = (), seen: Seen | None = None
) -> Verdict:
    _, load, connection = told
    await connection.execute(statement)
    return await judge(connection, load, seen or Seen(), ends)


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
    stored, gone, *_ = numbers("telem")
    payloads = [message(number).payload.decode() for number in (stored, gone)]
    rows = ", ".join(f"('{payload}', '', '', '', '', '{number}')" for number, payload in enumerate(payloads))
    statement = f"""
        INSERT INTO ingest_errors (payload, topic, reason, error_class, stream, entry_id) VALUES {rows};
        DELETE FROM ts_measure WHERE v_num = {gone}"""
    verdict = await verdict_after(told, statement)
    assert verdict.duplicated == {stored}
    assert verdict.invented == {stored, gone}
    assert verdict.lost == {gone}


async def test_a_dead_letter_that_nobody_sent_is_found(told: Told) -> None:
    verdict = await verdict_after(told, "UPDATE ingest_errors SET payload = 'what is this' WHERE id = 1")
    assert verdict.invented == {-1}
    assert len(verdict.lost) == 1


async def test_what_a_broker_forgot_is_not_the_pipelines_loss(told: Told) -> None:
    """Each message is lost, and the broker died once: at 1000, the receivers were back at 1005."""
    _, load, _ = told
    end = BrokerEnd(begun=1000.0, dead=1001.0, back=1005.0)
    by_broker = {
        "not saved": (1000 - UNSAVED_S, None),
        "nobody in the group": (1005.0, None),
        "not saved, in a receiver's hands": (999.5, 999.6),
        "not saved, delivered as the broker died": (999.9, 1000.9),
    }
    by_pipeline = {
        "saved long before": (1000 - UNSAVED_S - 0.1, None),
        "swallowed long before": (500.0, 500.1),
        "published when all was well again": (1005.1, None),
        "swallowed long after": (1500.0, 1500.1),
        "swallowed, given by the broker that came back": (999.5, 1001.5),
    }
    acknowledged, *others = numbers("telem")
    named = dict(zip([*by_broker, *by_pipeline], others, strict=False))
    seen = Seen(acknowledged={message(acknowledged).payload})  # a receiver had it for good
    load.record.confirmed[acknowledged] = 1002.0
    for name, (confirmed, delivered) in (by_broker | by_pipeline).items():
        load.record.confirmed[named[name]] = confirmed
        if delivered is not None:
            seen.delivered[message(named[name]).payload] = delivered
    gone = ", ".join(map(str, [acknowledged, *named.values()]))
    verdict = await verdict_after(told, f"DELETE FROM ts_measure WHERE v_num IN ({gone})", [end], seen)
    assert verdict.lost_by_broker == {named[name] for name in by_broker}
    assert verdict.lost == {acknowledged} | {named[name] for name in by_pipeline}
    assert verdict.reached == {named[name] for name, (_, at) in (by_broker | by_pipeline).items() if at}


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [({1: 5.0}, {1: 5.0}, False), ({1: 5.0}, {1: 6.0}, True), ({1: 5.0}, {2: 0.0}, False), ({1: 5.0}, {2: 1.0}, True)],
)
def test_a_new_process_counts_from_0(before: Figures, after: Figures, grown: bool) -> None:
    assert has_grown(before, after) == grown


async def test_a_fault_that_does_nothing_is_told(told: Told) -> None:
    stack, load, _ = told
    verdict = await verdict_after(told, "SELECT 1")
    fault = Fault("database: bored", _does_nothing, error("db_error"))
    incident = Incident(fault, 0, 0, 0, 0, has_recovered=True, has_bitten=False)
    outcome = Outcome([incident], load, verdict, await read_shard(stack.redis, 0), 10, Watch(), [], 0)
    assert outcome.complaints == [
        "database: bored: did nothing: ingest_errors_total{'reason': 'db_error'} has not grown on any service"
    ]
    assert not outcome.is_good
    assert replace(outcome, incidents=[replace(incident, has_bitten=True)]).is_good


@asynccontextmanager
async def _does_nothing(_: Pipeline) -> AsyncIterator[None]:
    yield


async def test_what_came_again_must_be_a_duplicate_in_the_ledger(told: Told) -> None:
    stack, load, _ = told
    again = message(numbers("telem")[0])
    for _ in range(2):
        await stack.append(again.topic, again.payload)
    await stack.has_rows("ts_measure", POINTS * len(numbers("telem")))
    verdict = await verdict_after(told, "SELECT 1")
    shard = await read_shard(stack.redis, 0)
    outcome = Outcome([], load, verdict, shard, 10, Watch(), [], 0)
    assert (outcome.came_again, shard.duplicates, outcome.complaints) == (2, 2 * POINTS, [])
    (complaint,) = replace(outcome, shard=replace(shard, duplicates=1)).complaints
    assert complaint == "2 good messages came again, and the ledger found rows of 1 there already"


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
