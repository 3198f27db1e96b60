"""Decoding, without servers: CPU of a message of 10 points by the routes of mappings, each beside pydantic's validation
of version 1; how long mappings take to load; and what a message costs among many routes.

Decoders take turns in each round, so that what else the machine does slows all of them alike.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from bench.figure import Reading, at_most
from bench.scenario import Plan, Scenario, Step
from bench.stage import Stage
from traksense_ingest.shared.mapping.load import load
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.writer.decode.decode import Decoder
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.decode.topic import parse_topic
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, Outcome

NOW = datetime(2026, 11, 28, 16, 0, 5, 123_000, tzinfo=UTC)
TIME = "2026-11-28T16:00:00.250Z"
DEVICES = 1_000
MESSAGES = 20_000  # of each kind in a round
MAX_PAYLOAD_BYTES, MAX_FUTURE_S = 2**20, 86_400  # as by default
FILES = 200
FEW, MANY = 10, 10_000  # routes

NAMES = [f"sensor_{number}" for number in range(10)]
VALUES = [round(4.25 + 1.37 * number, 2) for number in range(10)]

PYDANTIC, V1 = "version 1, validated by pydantic alone", "version 1"
EACH, LEAVES = "a list of readings, by each", "an object of readings, by leaves"
KHOMP, CHIRPSTACK = "SenML, by khomp", "ChirpStack, by chirpstack"

MAPPING = """
version: 1
name: {name}
tenant: acme
routes:
  - name: list
    topics: "{name}/list/{{site}}/{{device}}"
    identity: {{site: "{{site}}", device: "{{device}}"}}
    time: {{path: ts}}
    points: [{{each: "sensors[*]", name: "{{.id}}", value: value, unit: "{{.unit}}", units: {{Cel: "°C"}}}}]
  - name: object
    topics: "{name}/object/{{site}}/{{device}}"
    identity: {{site: "{{site}}", device: "{{device}}"}}
    time: {{path: ts}}
    points: [{{leaves: values}}]
tests:
  - name: two readings
    topic: {name}/object/north/7
    payload: '{{"ts": "2026-11-28T16:00:00Z", "values": {{"a": 1, "b": true}}}}'
    rows:
      - {{tenant: acme, site: north, device: "7", ts: "2026-11-28T16:00:00Z", point: a, v_num: 1}}
      - {{point: b, v_bool: true}}
"""

Decode = Callable[[Entry], Outcome]


@dataclass(frozen=True)
class Case:
    """A message of 10 points, and the topic of a device's."""

    name: str
    topic: str  # with {device}
    message: Any

    def entries(self) -> list[Entry]:
        """One of each device."""
        payload = orjson.dumps(self.message)
        topics = (self.topic.format(device=f"device-{number:04}").encode() for number in range(DEVICES))
        return [Entry("ingest:{0}", "1795881605123-0", topic, payload, NOW, 1) for topic in topics]


def _readings(names: Sequence[str], key: str, unit_key: str, unit: str, value_key: str) -> list[dict[str, Any]]:
    return [{key: name, unit_key: unit, value_key: value} for name, value in zip(names, VALUES, strict=False)]


CASES = (
    Case(
        V1,
        "traksense/acme/plant-01/{device}/telem",
        {
            "schema": "v1",
            "ts": TIME,
            "points": [{**reading, "t": "float"} for reading in _readings(NAMES, "name", "u", "°C", "v")],
            "meta": {"fw": "1.2.3"},
        },
    ),
    Case(EACH, "bench/list/north/{device}", {"ts": TIME, "sensors": _readings(NAMES, "id", "unit", "Cel", "value")}),
    Case(LEAVES, "bench/object/north/{device}", {"ts": TIME, "values": dict(zip(NAMES, VALUES, strict=True))}),
    Case(
        KHOMP,
        "tenants/acme/sites/plant-01/assets/{device}/telemetry",
        [
            {"bn": "f803320100024e1a", "bt": 1795881600},
            {"n": "model", "vs": "nit21z"},
            {"n": "A", "u": "Cel", "v": 4.25},
            {"n": "A", "u": "%RH", "v": 81.5},
            *_readings(NAMES[2:], "n", "u", "Cel", "v"),
        ],
    ),
    Case(
        CHIRPSTACK,
        "application/7f3c/device/{device}/event/up",
        {
            "time": "2026-11-28T16:00:00.250123+00:00",
            "fCnt": 1041,
            "deviceInfo": {"deviceName": "freezer-12", "tags": {"site": "north"}},
            "object": dict(zip(NAMES[2:], VALUES[2:], strict=True)),
            "rxInfo": [{"gatewayId": "a84041ffff1f0001", "rssi": -97, "snr": 7.5}],
        },
    ),
)


async def steps(_stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """Messages, files, topics."""
    with tempfile.TemporaryDirectory() as directory:
        files = Path(directory)
        _write(files / "bench", "bench")
        routes = _routes(load(f"{files}/bench/,khomp,chirpstack"))
        decoders = [(PYDANTIC, _by_pydantic(), CASES[0]), *((case.name, routes, case) for case in CASES)]
        yield partial(_messages, decoders, plan.scaled(MESSAGES // DEVICES))
        _write(files / "many", *(f"mapping-{number}" for number in range(plan.scaled(FILES))))
        yield partial(_load, files / "many")
        few, many = (_among(files, plan.scaled(count, least=2)) for count in (FEW, MANY))
        yield partial(_topics, few, many)


def _write(folder: Path, *names: str) -> None:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.yaml").write_text(MAPPING.format(name=name))


def _routes(mappings: Mappings) -> Decode:
    return MappedRoutes(
        mappings, max_payload_bytes=MAX_PAYLOAD_BYTES, max_future_s=MAX_FUTURE_S, clock=lambda: NOW
    ).decode


def _by_pydantic() -> Decode:
    decoder = Decoder(MAX_PAYLOAD_BYTES, MAX_FUTURE_S, lambda: NOW)
    return lambda entry: decoder.decoded(entry, parse_topic(entry.topic or b""))


async def _messages(decoders: Sequence[tuple[str, Decode, Case]], rounds: int) -> Sequence[Reading]:
    costs = dict.fromkeys((name for name, _, _ in decoders), 0.0)
    entries = [case.entries() for _, _, case in decoders]
    for (name, decode, _), messages in zip(decoders, entries, strict=True):
        _require_points(name, decode, messages)
    gc.collect()
    for _ in range(rounds):
        for (name, decode, _), messages in zip(decoders, entries, strict=True):
            costs[name] += _cpu(decode, messages)
    return [*_compared(costs, rounds)]


def _require_points(name: str, decode: Decode, messages: Sequence[Entry]) -> None:
    for message in messages:
        outcome = decode(message)
        if not isinstance(outcome, Decoded) or sum(map(len, outcome.rows)) != len(NAMES):
            raise AssertionError(f"{name}: {outcome}")


def _cpu(decode: Decode, messages: Sequence[Entry]) -> float:
    began = time.process_time()
    for message in messages:
        decode(message)
    return time.process_time() - began


def _compared(costs: dict[str, float], rounds: int) -> Iterator[Reading]:
    for name, seconds in costs.items():
        yield Reading(name, seconds / rounds / DEVICES * 1e6, "µs CPU")
    for name, seconds in costs.items():
        if name != PYDANTIC:
            yield Reading(_ratio(name), seconds / costs[PYDANTIC], "×")


def _ratio(name: str) -> str:
    return f"{name}, of pydantic's"


async def _load(folder: Path) -> Sequence[Reading]:
    began = time.process_time()
    load(f"{folder}/")
    return [Reading("loading 200 files", time.process_time() - began, "s CPU")]


def _among(files: Path, count: int) -> Decode:
    folder = files / f"{count}-routes"
    _write(folder, "bench", *(f"other-{number}" for number in range(count // 2 - 1)))
    return _routes(load(f"{folder}/"))


async def _topics(few: Decode, many: Decode) -> Sequence[Reading]:
    """With the same topics again and again, as devices use them."""
    messages = CASES[2].entries()
    for decode in (few, many):
        _require_points("topics", decode, messages)
    costs = [[_cpu(decode, messages) for decode in (few, many)] for _ in range(MESSAGES // DEVICES)]
    return [
        Reading(
            "a message among 10 000 routes, of one among 10", sum(b for _, b in costs) / sum(a for a, _ in costs), "×"
        )
    ]


DECODE = Scenario(
    "decode",
    steps,
    targets={
        _ratio(V1): at_most(0.6),
        **{_ratio(name): at_most(1) for name in (EACH, LEAVES, KHOMP, CHIRPSTACK)},
        "loading 200 files": at_most(1),
        "a message among 10 000 routes, of one among 10": at_most(1.2),
    },
)
