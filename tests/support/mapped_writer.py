"""Messages as a mapping decodes them, of topics that begin with `mapped/`: what the store is given, without a language
for it. And a writer's lane in this process that takes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from tests.integration.test_crash_points import lane_of
from tests.support.stack import Stack
from tests.support.streams import is_empty
from tests.support.waiting import eventually
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.messages import MAPPING
from traksense_ingest.shared.metrics import Metrics
from traksense_ingest.writer.decode.current import CurrentRoutes
from traksense_ingest.writer.decode.decode import reject
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, EventRow, Ignored, Outcome, Sighting

TOPIC, NAME = "mapped/plant/7", "plant"
TS = "2026-01-02T03:04:05+00:00"


class MappedDecoder(CurrentRoutes):
    """{"rows": [part(…), …]}, {"states": [part(…), …]}, {"ignore": true} or {"poison": tenant}; and messages of
    version 1."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__(settings, metrics)
        self._v1 = self.decode
        self.decode = self._decode

    def _decode(self, entry: Entry) -> Outcome:
        if not (entry.topic or b"").startswith(b"mapped/"):
            return self._v1(entry)
        message = json.loads(entry.payload or b"")
        if "ignore" in message:
            return Ignored(entry, "telem", MAPPING, NAME)
        if "poison" in message:
            return reject(entry, "unknown_alias", "unknown_alias: no", kind="state", tenant_id=message["poison"])
        if "states" in message:
            return _decoded(entry, "state", tuple(_state(entry, part) for part in message["states"]))
        measures = tuple(_measures(part) for part in message["rows"])
        return _decoded(entry, "telem", measures, message.get("same_point", 0))


def _decoded(entry: Entry, kind: str, rows: tuple[Any, ...], same_point: int = 0) -> Decoded:
    devices = tuple(Sighting(row.tenant_id, row.device_id, "site", None, entry.received_at) for row in rows)
    newest = max((row.ts for row in rows), default=None)
    return Decoded(entry, kind, devices, newest, rows, same_point=same_point, mapping=NAME)


def _measures(part: dict[str, Any]) -> Measures:
    readings = tuple((name, float(value), None, None, None) for name, value in part["points"].items())
    return Measures(part["tenant"], part["device"], datetime.fromisoformat(part["ts"]), None, readings)


def _state(entry: Entry, part: dict[str, Any]) -> EventRow:
    ts, id_ = datetime.fromisoformat(part["ts"]), f"{part['device']} {part['ts']}"
    data = json.dumps({"online": part["online"]})
    return EventRow(part["tenant"], part["device"], id_, "state", ts, data, entry.appended_at)


def part(device: str, *, tenant: str = "acme", ts: str = TS, **more: Any) -> dict[str, Any]:
    """What a message says of one device at one moment: `points`, or `online`."""
    return {"tenant": tenant, "device": device, "ts": ts, **more}


def message(**content: Any) -> tuple[str, bytes]:
    """Topic and payload of one that MappedDecoder takes."""
    return TOPIC, json.dumps(content).encode()


class MappedWriter:
    """A lane and its metrics."""

    def __init__(self, stack: Stack, registry: Any) -> None:
        self._stack = stack
        self._registry = registry

    async def takes(self, *messages: tuple[str, bytes], **fields: Any) -> None:
        """Append these, and wait until they are settled and counted."""
        counted = self.settled
        for topic, payload in messages:
            await self._stack.append(topic, payload, **fields)
        await self.has_settled(counted + len(messages))

    async def has_settled(self, count: float) -> None:
        """Wait until so many messages are settled and counted."""
        await eventually(lambda: self.settled >= count, f"{count} messages settled")
        assert await is_empty(self._stack)

    @property
    def settled(self) -> float:
        """Messages, of all kinds."""
        samples = (sample for family in self._registry.collect() for sample in family.samples)
        return float(sum(sample.value for sample in samples if sample.name == "ingest_messages_total"))

    def metric(self, name: str, **labels: str) -> float:
        """The value of a sample, 0 while there is none."""
        return float(self._registry.get_sample_value(name, labels) or 0)


@asynccontextmanager
async def mapped_writer(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MappedWriter]:
    """It runs for as long as the block."""
    monkeypatch.setattr("tests.integration.test_crash_points.CurrentRoutes", MappedDecoder)
    stop = asyncio.Event()
    async with lane_of(stack, "mapped", stop) as lane:
        running = asyncio.create_task(lane.run(stop))
        yield MappedWriter(stack, lane._context.recorder._metrics.registry)
        stop.set()
        await running
