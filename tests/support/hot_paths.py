"""What is done for each message, without servers, for counting what it executes; `python -m tests.support.hot_paths`
writes the figures of this version of Python to `tests/unit/hot_paths.json`.

Update them with a change that makes a path cheaper, or more expensive on purpose.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client as Paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench.packets import V5, V311, published
from bench.shape import Shape
from tests.support.agreeing import AgreeingPool, AgreeingRedis, Socket
from tests.support.decoding import v1_routes
from tests.support.executed import executed
from traksense_ingest.receiver.acknowledge import Acknowledgements
from traksense_ingest.receiver.append import Appender
from traksense_ingest.receiver.durability import Durability
from traksense_ingest.receiver.inbox import Inbox
from traksense_ingest.receiver.intake import by_shard
from traksense_ingest.receiver.message import Message
from traksense_ingest.receiver.wire import PahoFastPath, is_supported
from traksense_ingest.shared.mapping.load import load
from traksense_ingest.shared.mapping.mappings import Shards
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.runtime.health import Health
from traksense_ingest.shared.streams.client import ServerClients
from traksense_ingest.shared.streams.sharding import Sharding
from traksense_ingest.writer.entry import Entry, parse_entry
from traksense_ingest.writer.outcome import Decoded
from traksense_ingest.writer.store.devices import DeviceRegistry
from traksense_ingest.writer.store.tables import Tables

FILE = Path(__file__).parents[1] / "unit" / "hot_paths.json"
MESSAGES = 100  # at once; figures are for one of them
SHAPE = Shape(MESSAGES, devices=MESSAGES)
LIBRARIES = ("aiomqtt", "asyncpg", "paho-mqtt", "prometheus-client", "pydantic", "redis")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_DECODER = v1_routes(1_048_576, 86_400, clock=lambda: _NOW)
_MESSAGES = list(SHAPE.encoded(range(MESSAGES)))
_REPLY = [
    (b"1767225600000-%d" % number, [b"topic", topic, b"payload", payload, b"received_at", b"1767225600000"])
    for number, (topic, payload) in enumerate(_MESSAGES)
]


def parse() -> list[Entry]:
    """Redis's reply → entries."""
    return [parse_entry("ingest:{0}", id_, fields) for id_, fields in _REPLY]


_ENTRIES = parse()


def decode() -> list[object]:
    """Entries → rows, of 10 points each."""
    return [_DECODER.decode(entry) for entry in _ENTRIES]


def look_up() -> list[object]:
    """The routes of topics that nothing is known of, as of each message where there is no room for all topics."""
    return [_DECODER._look_up(entry.topic or b"") for entry in _ENTRIES]


_BATCH = [outcome for outcome in decode() if isinstance(outcome, Decoded)]


_DEVICES = DeviceRegistry()


def store() -> int:
    """Rows → what COPY is given, of devices that were seen a moment ago."""
    return asyncio.run(Tables(AgreeingPool(), _DEVICES).write(_BATCH)).points


store()  # makes the devices known


def receive(protocol: str) -> Callable[[], int]:
    """A connection's bytes → what the append script is given, and PUBACKs."""
    version_ = {V311: MQTTProtocolVersion.MQTTv311, V5: MQTTProtocolVersion.MQTTv5}[protocol]
    packets = b"".join(published(protocol, _MESSAGES))
    metrics = ReceiverMetrics()
    redis: Any = AgreeingRedis()
    component = Health(metrics, {"redis": ""}).components["redis"]
    appender = Appender(0, ServerClients(redis), MESSAGES, Durability("memory"), component, metrics)

    async def receive_all() -> int:
        inbox, paho = Inbox(), Paho(CallbackAPIVersion.VERSION2, protocol=version_)
        put: Any = inbox.put
        socket: Any = Socket(packets)
        paho._sock = socket
        wire = PahoFastPath(paho, protocol == V5, put, is_fast=is_supported())
        while socket.has_more:
            paho.loop_read()
        batch = await inbox.take(MESSAGES, sys.maxsize)
        await appender.append(batch)
        Acknowledgements(wire.puback).appended(batch)
        return int(socket.sent) // 4

    return lambda: asyncio.run(receive_all())


_SHARDING = Sharding(4, Shards(load().routes).key)
_ARRIVED = [Message(topic, payload, 0, 0, 1, 0) for topic, payload in _MESSAGES]


def shard() -> int:
    """Messages → those of each stream."""
    return sum(map(len, by_shard(_ARRIVED, _SHARDING).values()))


PATHS: Mapping[str, Callable[[], Any]] = {
    "receive, MQTT 3.1.1": receive(V311),
    "receive, MQTT 5": receive(V5),
    "choose the shard": shard,
    "parse an entry": parse,
    "decode": decode,
    "look up a topic": look_up,
    "store": store,
}


def measured(path: Callable[[], object]) -> dict[str, float]:
    """What one message executes and allocates."""
    return {name: value / MESSAGES for name, value in executed(path)._asdict().items()}


def stored() -> dict[str, dict[str, float]] | None:
    """The figures that were written for this version of Python; None when there are none."""
    figures: dict[str, Any] | None = json.loads(FILE.read_text()).get(PYTHON)
    return figures and figures["paths"]


def libraries() -> dict[str, str]:
    """The libraries whose code is counted too."""
    return {name: version(name) for name in LIBRARIES}


def libraries_then() -> dict[str, str]:
    """Those that the figures were written with."""
    return dict(json.loads(FILE.read_text())[PYTHON]["libraries"])


def renew() -> None:
    """Write the figures of this version of Python; those of others stay."""
    figures = json.loads(FILE.read_text()) if FILE.exists() else {}
    figures[PYTHON] = {"libraries": libraries(), "paths": {name: measured(path) for name, path in PATHS.items()}}
    FILE.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    renew()
