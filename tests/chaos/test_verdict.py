"""The verdict: what a run is judged by must be right, and it must be able to say no."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from ops.simulate.messages import Message
from shared import config
from shared.shard import read_shard
from tests.chaos.faults import Fault
from tests.chaos.load import POINTS, Load, identity_of, message
from tests.chaos.pipeline import Pipeline
from tests.chaos.run import Incident, Outcome, Watch
from tests.chaos.signs import error
from tests.chaos.tap import Seen
from tests.chaos.verdict import UNSAVED_S, BrokerEnd, Verdict, judge
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
    rows = ", ".join(f"('{payload}', '', '', '', '', '{number}', 1)" for number, payload in enumerate(payloads))
    statement = f"""
        INSERT INTO ingest_errors (payload, topic, reason, error_class, stream, entry_id, deliveries) VALUES {rows};
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
