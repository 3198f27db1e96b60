"""What decoding a message of 10 points costs, by a route of a mapping and by version 1's own decoder, in one process.

`python -m tests.support.decode_cost` prints a line for each.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from tests.support import mapped
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.writer.decode.decode import Decoder
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, Outcome

NOW = datetime(2026, 11, 28, 16, 0, 5, 123_000, tzinfo=UTC)
TOPICS = 1000  # as many devices
ROUNDS, CALLS = 41, 1000
POINTS = 10

NAMES = [f"sensor_{number}" for number in range(POINTS)]
VALUES = [round(4.25 + 1.37 * number, 2) for number in range(POINTS)]

EACH = """
version: 1
name: each
tenant: {from: topic}
routes:
  - name: readings
    topics: "each/{tenant}/{site}/{device}"
    identity: {tenant: "{tenant}", site: "{site}", device: "{device}"}
    time: {path: ts}
    points: [{each: "sensors[*]", name: "{.id}", value: value, unit: "{.unit}", units: {Cel: "°C"}}]
"""
LEAVES = """
version: 1
name: leaves
tenant: {from: topic}
routes:
  - name: readings
    topics: "leaves/{tenant}/{site}/{device}"
    identity: {tenant: "{tenant}", site: "{site}", device: "{device}"}
    time: {path: ts}
    points: [{leaves: values}]
"""


@dataclass(frozen=True)
class Case:
    """A message, and the topic of a device's."""

    name: str
    topic: str  # with {device}
    payload: bytes

    def entries(self) -> list[Entry]:
        """One of each device."""
        topics = (self.topic.format(device=f"device-{number:04}").encode() for number in range(TOPICS))
        return [Entry("ingest:{0}", "1795881605123-0", topic, self.payload, NOW, 1) for topic in topics]


CASES = (
    Case(
        "v1",
        "traksense/acme/plant-01/{device}/telem",
        orjson.dumps(
            {
                "schema": "v1",
                "ts": "2026-11-28T16:00:00.250Z",
                "points": [
                    {"name": name, "t": "float", "v": value, "u": "°C"}
                    for name, value in zip(NAMES, VALUES, strict=True)
                ],
                "meta": {"fw": "1.2.3"},
            }
        ),
    ),
    Case(
        "each",
        "each/acme/plant-01/{device}",
        orjson.dumps(
            {
                "ts": "2026-11-28T16:00:00.250Z",
                "sensors": [
                    {"id": name, "value": value, "unit": "Cel"} for name, value in zip(NAMES, VALUES, strict=True)
                ],
            }
        ),
    ),
    Case(
        "leaves",
        "leaves/acme/plant-01/{device}",
        orjson.dumps({"ts": "2026-11-28T16:00:00.250Z", "values": dict(zip(NAMES, VALUES, strict=True))}),
    ),
    Case(
        "khomp",
        "tenants/acme/sites/plant-01/assets/{device}/telemetry",
        orjson.dumps(
            [
                {"bn": "f803320100024e1a", "bt": 1795881600},
                {"n": "model", "vs": "nit21z"},
                {"n": "A", "u": "Cel", "v": 4.25},
                {"n": "A", "u": "%RH", "v": 81.5},
                *({"n": name, "u": "Cel", "v": value} for name, value in zip(NAMES[2:], VALUES[2:], strict=True)),
            ]
        ),
    ),
    Case(
        "chirpstack",
        "application/7f3c/device/{device}/event/up",
        orjson.dumps(
            {
                "time": "2026-11-28T16:00:00.250123+00:00",
                "fCnt": 1041,
                "deviceInfo": {"deviceName": "freezer-12", "tags": {"tenant": "acme", "site": "north"}},
                "object": dict(zip(NAMES[2:], VALUES[2:], strict=True)),
                "rxInfo": [{"gatewayId": "a84041ffff1f0001", "rssi": -97, "snr": 7.5}],
            }
        ),
    ),
)


def routes() -> MappedRoutes:
    """The routes of these cases: v1 as it ships, two examples, and those above."""
    first, last = mapped.version_1()
    files = [mapped.file(mapped.OWN / f"example-{name}.yaml") for name in ("khomp", "chirpstack")]
    texts = [mapped.read(text.encode()) for text in (EACH, LEAVES)]
    mappings = Mappings((first, *texts, *files, last), frozenset())
    return MappedRoutes(mappings, max_payload_bytes=2**20, max_future_s=86_400, clock=lambda: NOW)


def medians(decoders: Sequence[tuple[Callable[[Entry], Outcome], Case]]) -> list[float]:
    """µs a message of each, taken in turn, so that what else the machine does slows all of them alike."""
    times: list[list[float]] = [[] for _ in decoders]
    entries = [case.entries() for _, case in decoders]
    for (decode, case), all_ in zip(decoders, entries, strict=True):
        for entry in all_:
            outcome = decode(entry)
            assert isinstance(outcome, Decoded), (case.name, outcome)
            assert sum(len(rows) for rows in outcome.rows) == POINTS, case.name
    gc.collect()
    for _ in range(ROUNDS):
        for (decode, _), all_, found in zip(decoders, entries, times, strict=True):
            began = time.process_time()
            for _ in range(CALLS // TOPICS):
                for entry in all_:
                    decode(entry)
            found.append((time.process_time() - began) / CALLS * 1e6)
    return [statistics.median(found) for found in times]


def main() -> None:
    """Print µs of CPU a message, and the ratio to version 1's own decoder."""
    by_routes = routes()
    own = Decoder(2**20, 86_400, lambda: NOW)
    found = medians([(own.decode, CASES[0]), *((by_routes.decode, case) for case in CASES)])
    for name, cost in zip(["v1's own decoder", *(case.name for case in CASES)], found, strict=True):
        print(f"{name:20} {cost:6.1f} µs  {cost / found[0]:5.2f}")


if __name__ == "__main__":
    main()
