"""Each format of tests/cases/shapes.jsonl by the whole way: published to a broker, and read back from the tables."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import new_database
from tests.support.services import Services
from tests.support.shapes import Row, Shape, parts, received_at, shapes
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server
from traksense_ingest.shared.streams.keys import key_of

SHAPES = shapes()
VARIABLES: dict[str, object] = {"INGEST_MAX_FUTURE_S": 315_360_000, "INGEST_CLAIM_IDLE_MS": 300}
LAST_SITES = {key: site for shape in SHAPES for key, site in shape.sites.items()}

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


@dataclass
class Tables:
    """What is in the tables once all is settled."""

    rows: list[Row]
    sites: dict[tuple[str, str], str]
    events: list[dict[str, Any]]
    acks: list[dict[str, Any]]
    dead_letters: list[dict[str, Any]]


@pytest.fixture(scope="module")
def tables(services: Services, postgres: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """One receiver and one writer for all of them: the moment of each receipt is read from the stream in between."""
    return asyncio.run(_publish_all(services, postgres, template, tmp_path_factory.mktemp("shapes")))


async def _publish_all(services: Services, postgres: Server, template: str, directory: Path) -> Tables:
    broker, redis = services.broker(directory), services.redis(directory)
    try:
        async with new_database(postgres, template) as url:
            stack = Stack(broker, redis.start(), url, directory)
            try:
                for number, (spec, some) in enumerate(parts(SHAPES).items()):
                    variables = {"INGEST_MAPPINGS": spec, "MQTT_CLIENT_ID": f"receiver-{number}"}
                    await _store(stack, some, VARIABLES | variables)
                return await _read(stack)
            finally:
                await stack.close()
    finally:
        broker.kill()
        redis.kill()


async def _store(stack: Stack, some: list[Shape], variables: dict[str, object]) -> None:
    receiver = await stack.receiver(**variables)
    for published, run in _runs(some):
        await (_publish(stack, run) if published else _append(stack, run))
    await _learn_receipts(stack, some)
    writer = await stack.writer(**variables)
    await eventually(lambda: _backlog_is(stack, 0), "all is settled")
    assert (receiver.stop(), writer.stop()) == (0, 0)


def _runs(some: list[Shape]) -> Iterable[tuple[bool, list[Shape]]]:
    """Those to publish, and, in their place among them, those whose rows depend on when they are received: they are
    appended as a receiver would have done then."""
    for depends, run in groupby(some, lambda shape: shape.needs_its_receipt):
        yield not depends, list(run)


async def _publish(stack: Stack, some: list[Shape]) -> None:
    before = await stack.backlog()
    await stack.publish(*((shape.topic, shape.payload) for shape in some))
    await eventually(lambda: _backlog_is(stack, before + len(some)), f"{len(some)} more in the stream")


async def _append(stack: Stack, some: list[Shape]) -> None:
    for shape in some:
        ms = round(shape.said_received_at.timestamp() * 1000)
        await stack.append(shape.topic, shape.payload, received_at=ms)


async def _learn_receipts(stack: Stack, some: list[Shape]) -> None:
    entries: Any = await stack.redis.xrange(key_of(0))
    assert [fields[b"payload"] for _, fields in entries] == [shape.payload for shape in some]
    for shape, (_, fields) in zip(some, entries, strict=True):
        shape.received_at = received_at(fields[b"received_at"])


async def _backlog_is(stack: Stack, count: int) -> bool:
    return await stack.backlog() == count


async def _read(stack: Stack) -> Tables:
    rows = await stack.fetch(
        "SELECT tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, meta::text FROM ts_measure"
    )
    devices = await stack.fetch("SELECT tenant_id, device_id, site_id FROM device")
    return Tables(
        [(*row[:8], json.loads(row[8]) if row[8] else None) for row in map(tuple, rows)],
        {(tenant, device): site for tenant, device, site in map(tuple, devices)},
        [dict(row) for row in await stack.fetch("SELECT * FROM device_event")],
        [dict(row) for row in await stack.fetch("SELECT * FROM cmd_ack")],
        [dict(row) for row in await stack.fetch("SELECT topic, payload, payload_raw, reason FROM ingest_errors")],
    )


@each_shape
def test_it_becomes_these_rows(tables: Tables, shape: Shape) -> None:
    assert [row for row in shape.rows if row not in tables.rows] == []
    assert {key: tables.sites.get(key) for key in shape.sites} == {key: LAST_SITES[key] for key in shape.sites}
    for expected in shape.of("device_event"):
        found = [event for event in tables.events if event["device_id"] == expected["device"]]
        assert [(event["event_type"], event["ts"], json.loads(event["data"])) for event in found] == [
            (expected["event_type"], expected["ts"], expected["data"])
        ]
    for expected in shape.of("cmd_ack"):
        found = [ack for ack in tables.acks if ack["cmd_id"] == expected["cmd_id"]]
        assert [(ack["device_id"], ack["ok"], ack["ts_exec"], ack["err"]) for ack in found] == [
            (expected["device"], expected["ok"], expected["ts"], expected["err"])
        ]


def test_there_are_no_other_rows(tables: Tables) -> None:
    expected = [row for shape in SHAPES for row in shape.rows]
    assert [row for row in tables.rows if row not in expected] == []
    assert len(tables.rows) == len({row[:4] for row in expected}), "two formats say the same of one device"


def test_what_is_poison_and_nothing_else_is_a_dead_letter(tables: Tables) -> None:
    poison = [shape for shape in SHAPES if "poison" in shape.line]
    letters = {letter["payload_raw"] or letter["payload"].encode(): letter for letter in tables.dead_letters}
    assert {shape.payload for shape in poison} == set(letters)
    for shape in poison:
        assert shape.line["poison"] in letters[shape.payload]["reason"]
