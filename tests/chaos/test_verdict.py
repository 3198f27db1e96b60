"""The verdict on a run: right, and able to fail it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from tests.chaos.fault import Fault
from tests.chaos.load import POINTS, Load, device_of, identity_of, message
from tests.chaos.outcome import Incident, Outcome, Watch
from tests.chaos.pipeline import Pipeline
from tests.chaos.report import markdown
from tests.chaos.signs import error
from tests.chaos.tap import Seen
from tests.chaos.verdict import UNSAVED_S, BrokerEnd, Verdict, judge
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.ops.simulate.messages import Message
from traksense_ingest.shared import config
from traksense_ingest.shared.streams.snapshot import read_snapshot


def numbers(kind: str) -> list[int]:
    return [number for number in range(200) if identity_of(number).kind == kind]


@pytest.fixture
async def pipeline(stack: Stack) -> AsyncIterator[tuple[Stack, Load, asyncpg.Connection]]:
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


Stored = tuple[Stack, Load, asyncpg.Connection]


async def verdict_after(
    pipeline: Stored, statement: str, ends: Sequence[BrokerEnd] = (), seen: Seen | None = None
) -> Verdict:
    _, load, connection = pipeline
    await connection.execute(statement)
    return await judge(connection, load, seen or Seen(), ends)


async def test_all_is_well(pipeline: Stored) -> None:
    verdict = await verdict_after(pipeline, "SELECT 1")
    assert verdict.is_good
    assert verdict.stored == verdict.acknowledged == frozenset(range(200))


# What is done to the rows of the first message of a kind, and where the verdict has its number.
WRONGS = (
    ("DELETE FROM ts_measure WHERE v_num = {}", "telem", "lost"),
    ("DELETE FROM command WHERE cmd_id = '{}'", "cmd", "lost"),
    ("DELETE FROM cmd_ack WHERE cmd_id::int = {} - 2", "ack", "lost"),
    ("DELETE FROM device_event WHERE event_id = '{}'", "event", "lost"),
    ("DELETE FROM device_event WHERE data ->> 'state' = 'state {}'", "state", "lost"),
    ("DELETE FROM ingest_errors WHERE payload = 'poison {}'", "poison", "lost"),
    ("DELETE FROM ts_measure WHERE v_num = {} AND point_id = 'p1'", "telem", "damaged"),
    ("UPDATE ts_measure SET v_num = 0 WHERE v_num = {}", "telem", "damaged"),
    ("UPDATE command SET sent_at = now() WHERE cmd_id = '{}'", "cmd", "damaged"),
    ("UPDATE cmd_ack SET ok = false WHERE cmd_id::int = {} - 2", "ack", "damaged"),
    (
        "UPDATE device_event SET data = data || '{{\"online\": false}}' WHERE data ->> 'state' = 'state {}'",
        "state",
        "damaged",
    ),
    (
        "INSERT INTO command SELECT tenant_id, 'x', cmd_id, sent_at, cmd, payload FROM command WHERE cmd_id = '{}'",
        "cmd",
        "duplicated",
    ),
    (
        (
            "INSERT INTO cmd_ack SELECT tenant_id, 'x', cmd_id, ok, NULL, NULL, payload FROM cmd_ack"
            " WHERE cmd_id::int = {} - 2"
        ),
        "ack",
        "duplicated",
    ),
    (
        (
            "INSERT INTO device_event SELECT tenant_id, device_id, 'x', event_type, ts, data FROM device_event"
            " WHERE data ->> 'state' = 'state {}'"
        ),
        "state",
        "duplicated",
    ),
)


async def test_what_is_wrong_is_found(pipeline: Stored) -> None:
    _, _, connection = pipeline
    for statement, kind, group in WRONGS:
        (number, *_) = numbers(kind)
        transaction = connection.transaction()
        await transaction.start()
        verdict = await verdict_after(pipeline, statement.format(number))
        await transaction.rollback()
        assert not verdict.is_good, statement
        assert getattr(verdict, group) == {number}, statement


async def test_what_a_view_shows_wrongly_is_found(pipeline: Stored) -> None:
    """Though the rows of the tables are right."""
    _, _, connection = pipeline
    for view, kind in (("command", "cmd"), ("device_state", "state")):
        transaction = connection.transaction()
        await transaction.start()
        definition = await connection.fetchval("SELECT rtrim(pg_get_viewdef($1::regclass), ';')", f"tenant.{view}")
        verdict = await verdict_after(pipeline, f"CREATE OR REPLACE VIEW tenant.{view} AS {definition} OFFSET 1")
        await transaction.rollback()
        assert len(verdict.damaged) == 2, "one of each tenant"
        assert verdict.damaged <= set(numbers(kind))
        assert not verdict.lost | verdict.duplicated | verdict.invented


async def test_the_state_of_a_device_is_its_newest_one(pipeline: Stored) -> None:
    stack, load, _ = pipeline
    number, load.published = 806, 807
    assert device_of(number) == device_of(6)
    later = message(number)
    await stack.append(later.topic, later.payload)
    load.record.add(later)
    await eventually(lambda: _has_state(stack, number))
    assert (await verdict_after(pipeline, "SELECT 1")).is_good
    statement = "UPDATE device_event SET ts = ts + interval '1 h' WHERE data ->> 'state' = 'state 6'"
    assert (await verdict_after(pipeline, statement)).damaged == {6, number}


async def _has_state(stack: Stack, number: int) -> bool:
    return bool(await stack.fetchval(f"SELECT count(*) FROM device_event WHERE data ->> 'state' = 'state {number}'"))


async def test_a_good_message_among_the_dead_letters_is_found(pipeline: Stored) -> None:
    known, gone, *_ = numbers("telem")
    payloads = [message(number).payload.decode() for number in (known, gone)]
    rows = ", ".join(f"('{payload}', '', '', '', '', '{number}', 1)" for number, payload in enumerate(payloads))
    statement = f"""
        INSERT INTO ingest_errors (payload, topic, reason, error_class, stream, entry_id, deliveries) VALUES {rows};
        DELETE FROM ts_measure WHERE v_num = {gone}"""
    verdict = await verdict_after(pipeline, statement)
    assert verdict.duplicated == {known}
    assert verdict.invented == {known, gone}
    assert verdict.lost == {gone}


async def test_a_dead_letter_that_was_never_sent_is_found(pipeline: Stored) -> None:
    verdict = await verdict_after(pipeline, "UPDATE ingest_errors SET payload = 'what is this' WHERE id = 1")
    assert verdict.invented == {-1}
    assert len(verdict.lost) == 1


async def test_what_a_broker_forgot_is_not_the_pipelines_loss(pipeline: Stored) -> None:
    """Each message is lost, and the broker died once: at 1000, the receivers were back at 1005."""
    _, load, _ = pipeline
    end = BrokerEnd(started=1000.0, back=1005.0)
    by_broker: dict[str, tuple[float, float | None]] = {
        "not saved": (1000 - UNSAVED_S, None),
        "no member in the group": (1005.0, None),
    }
    by_pipeline = {
        "saved long before": (1000 - UNSAVED_S - 0.1, None),
        "swallowed long before": (500.0, 500.1),
        "published when all was well again": (1005.1, None),
        "swallowed long after": (1500.0, 1500.1),
        "not saved, in a receiver's hands": (999.5, 999.6),
        "not saved, delivered as the broker died": (999.9, 1000.9),
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
    verdict = await verdict_after(pipeline, f"DELETE FROM ts_measure WHERE v_num IN ({gone})", [end], seen)
    assert verdict.lost_by_broker == {named[name] for name in by_broker}
    assert verdict.lost == {acknowledged} | {named[name] for name in by_pipeline}
    assert verdict.reached == {named[name] for name, (_, at) in (by_broker | by_pipeline).items() if at}


async def test_a_fault_without_effect_fails_the_run(pipeline: Stored) -> None:
    stack, load, _ = pipeline
    verdict = await verdict_after(pipeline, "SELECT 1")
    fault = Fault("database: bored", _does_nothing, error("db_error"))
    incident = Incident(fault, 0, 0, 0, has_recovered=True, took_effect=False)
    outcome = Outcome([incident], load, verdict, await read_snapshot(stack.clients, 0), 10, Watch(), [], 0)
    assert outcome.complaints == [
        "database: bored: did nothing: ingest_errors_total{'reason': 'db_error'} has not grown on any service"
    ]
    assert not outcome.is_good
    text = markdown(outcome, command="make chaos", head="two writers")
    assert "| database: bored | 1 | 200 | 200 | 0 | 0 | 0 | 0.0 (0.0) |" in text
    assert "- faults: 1, 0 of them kill -9" in text
    assert f"- {outcome.complaints[0]}" in text
    assert replace(outcome, incidents=[replace(incident, took_effect=True)]).is_good


@asynccontextmanager
async def _does_nothing(_: Pipeline) -> AsyncIterator[None]:
    yield


async def test_a_dead_letter_too_many_is_found_unless_a_failover_explains_it(pipeline: Stored) -> None:
    stack, load, _ = pipeline
    verdict, shard = await verdict_after(pipeline, "SELECT 1"), await read_snapshot(stack.clients, 0)
    for count, complaints in ((9, (1, 1)), (10, (0, 0)), (11, (1, 0))):
        outcome = Outcome([], load, verdict, shard, count, Watch(), [], 0)
        both = (outcome, replace(outcome, is_replicated=True))
        assert tuple(len(each.complaints) for each in both) == complaints, count


async def test_what_came_again_must_be_a_duplicate_in_the_ledger(pipeline: Stored) -> None:
    stack, load, _ = pipeline
    again = message(numbers("telem")[0])
    for _ in range(2):
        await stack.append(again.topic, again.payload)
    await stack.has_rows("ts_measure", POINTS * len(numbers("telem")))
    verdict = await verdict_after(pipeline, "SELECT 1")
    shard = await read_snapshot(stack.clients, 0)
    outcome = Outcome([], load, verdict, shard, 10, Watch(), [], 0)
    assert (outcome.came_again, shard.duplicates, outcome.complaints) == (2, 2 * POINTS, [])
    (complaint,) = replace(outcome, shard=replace(shard, duplicates=1)).complaints
    assert complaint == "2 good messages came again, and the ledger has 1 duplicates"
