"""The fleet's messages: valid, repeatable, in order, and as many rows as they say."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice

import pytest

from tests.support.decoding import v1_routes
from tests.support.rows import points_in
from traksense_ingest.ops.simulate.device import PARSEC_EVERY
from traksense_ingest.ops.simulate.fleet import Plan, fleet
from traksense_ingest.ops.simulate.messages import Message
from traksense_ingest.ops.simulate.report import Tally
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import AckRow, Decoded, EventRow, Outcome, Rejected

START = datetime(2025, 10, 7, 15, 30, tzinfo=UTC)
COUNT = 1000
PLAN = Plan(START, seed=7, messages=COUNT)
TIMES = re.compile(
    rb'(?<="ts":")[^"]*|(?<="ts_exec":")[^"]*|(?<="cmd_id":")[^"]{10}|(?<="event_id":")[^"]{10}'
)  # a ULID begins with 10 characters of time


def decode(message: Message, now: datetime, max_future_s: int = 86_400) -> Outcome:
    """What the writer makes of a message."""
    entry = Entry("ingest:{0}", "1759851000000-0", message.topic.encode(), message.payload, now, 1)
    return _routes(now, max_future_s).decode(entry)


@cache
def _routes(now: datetime, max_future_s: int) -> MappedRoutes:
    return v1_routes(max_payload_bytes=1_048_576, max_future_s=max_future_s, clock=lambda: now)


def decoded(message: Message) -> Decoded:
    outcome = decode(message, now=START + timedelta(days=1))
    assert isinstance(outcome, Decoded), outcome
    return outcome


def timeless(message: Message) -> tuple[str, bytes]:
    return message.topic, TIMES.sub(b"", message.payload)


@pytest.mark.parametrize("rate", [1.0, 20.0, 5000.0])
def test_every_good_message_is_decoded_to_what_it_says(rate: float) -> None:
    kinds = set()
    for message in fleet(replace(PLAN, rate=rate, tenants=("a", "b"))):
        outcome = decoded(message)
        assert (outcome.kind, outcome.ts) == (message.kind, message.ts)
        assert len(points_in(outcome)) == message.points
        (rows,) = outcome.rows
        assert not isinstance(rows, Measures) or (rows.repeated, outcome.same_point) == (0, 0)
        assert (rows.cmd_id if isinstance(rows, AckRow) else None) == message.cmd_id
        kinds.add(outcome.kind)
    assert kinds == {"telem", "ack", "event"}


def test_the_tally_expects_the_rows_that_the_writer_would_store() -> None:
    tally = Tally()
    keys: dict[str, set[tuple[object, ...]]] = defaultdict(set)
    for message in fleet(replace(PLAN, tenants=("a", "b"))):
        tally.add(message)
        outcome = decoded(message)
        keys["ts_measure"] |= {(row.tenant_id, row.device_id, row.point_id, row.ts) for row in points_in(outcome)}
        (row,) = outcome.rows
        if isinstance(row, AckRow):
            keys["cmd_ack"].add((row.tenant_id, row.device_id, row.cmd_id))
        if isinstance(row, EventRow):
            keys["device_event"].add((row.tenant_id, row.device_id, row.event_id))
    assert tally.rows() == {name: len(found) for name, found in keys.items()} | {"command": 0, "ingest_errors": 0}
    assert tally.kinds["ack"] > tally.acknowledged > 0


def test_bad_messages_are_rejected_and_nothing_else_is() -> None:
    bad = 0
    for message in fleet(replace(PLAN, bad=0.2)):
        outcome = decode(message, now=START + timedelta(days=1))
        assert isinstance(outcome, Rejected) == (message.fault is not None), outcome
        if isinstance(outcome, Rejected):
            assert outcome.error_class == message.error_class
            bad += 1
    assert 0.15 * COUNT < bad < 0.25 * COUNT


def test_a_share_of_bad_messages_of_1_is_all_of_them() -> None:
    assert all(message.fault for message in fleet(replace(PLAN, bad=1.0, messages=200)))


def test_the_same_plan_gives_the_same_messages() -> None:
    plan = replace(PLAN, bad=0.1)
    assert list(fleet(plan)) == list(fleet(plan))


def test_another_start_changes_nothing_but_times() -> None:
    later = replace(PLAN, bad=0.1, start=datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC))
    first, second = list(fleet(replace(PLAN, bad=0.1))), list(fleet(later))
    assert first != second
    assert list(map(timeless, first)) == list(map(timeless, second))


def test_another_seed_gives_other_messages() -> None:
    assert list(map(timeless, fleet(PLAN))) != list(map(timeless, fleet(replace(PLAN, seed=8))))


@pytest.mark.parametrize(("devices", "rate"), [(1, 100_000.0), (3, 7.0), (20, 20.0)])
def test_the_timestamps_of_a_device_strictly_increase(devices: int, rate: float) -> None:
    last: dict[int, datetime] = {}
    for message in fleet(replace(PLAN, devices=devices, rate=rate)):
        assert message.ts > last.get(message.device, START - timedelta(seconds=1))
        last[message.device] = message.ts
    assert len(last) == devices


def test_timestamps_follow_the_rate() -> None:
    times = [message.ts for message in islice(fleet(replace(PLAN, rate=10.0)), 3)]
    assert times == [START, START + timedelta(milliseconds=100), START + timedelta(milliseconds=200)]


def test_a_share_of_the_devices_are_parsecs() -> None:
    devices = {message.device for message in fleet(PLAN) if b'"di1"' in message.payload}
    assert len(devices) == PLAN.devices // PARSEC_EVERY


def test_each_kind_of_event_occurs_with_and_without_an_id() -> None:
    payloads = [m.payload for m in fleet(replace(PLAN, messages=5000)) if m.kind == "event"]
    types = {match[1] for payload in payloads if (match := re.search(rb'"event_type":"(\w+)"', payload))}
    assert types == {b"boot", b"door_open", b"door_close", b"alarm"}
    assert 0 < sum(b'"event_id"' in payload for payload in payloads) < len(payloads)


def test_some_commands_fail_and_some_sensors_are_mute() -> None:
    everything = b"".join(message.payload for message in fleet(replace(PLAN, messages=5000)))
    for part in (b'"ok":false', b'"ok":true', b'"v":null', b'"status","v":"RUN"', b'"status","v":"STOP"'):
        assert part in everything


def test_a_slow_fleet_still_sends_mostly_telemetry() -> None:
    messages = list(fleet(replace(PLAN, rate=0.01, messages=2000)))
    assert sum(message.kind == "telem" for message in messages) > 0.75 * len(messages)


def test_tenants_share_the_devices() -> None:
    topics = {message.topic.split("/")[1] for message in fleet(replace(PLAN, tenants=("a", "b", "c")))}
    assert topics == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("messages", "duration", "limit"), [(None, None, None), (5, None, 5), (None, 1.5, 30), (5, 1.5, 5), (50, 0.01, 1)]
)
def test_a_plan_ends_after_its_messages_or_its_duration(
    messages: int | None, duration: float | None, limit: int | None
) -> None:
    assert Plan(START, 1, messages=messages, duration=duration).limit == limit
