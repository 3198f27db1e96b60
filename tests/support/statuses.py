"""A status of two streams and four receivers, as `status` collects it, for the tests of its screen and report."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from traksense_ingest.ops.status.dependency import Dependency
from traksense_ingest.ops.status.report import Status
from traksense_ingest.shared.streams.heartbeat import Receiver, Writer
from traksense_ingest.shared.streams.snapshot import ConsumerInfo, StreamSnapshot

UP = (
    Dependency("broker", "mqtt://localhost:1883"),
    Dependency("redis", "redis://localhost:6379/0"),
    Dependency("database", "postgresql://traksense:***@localhost:5432/traksense"),
)
CALM = StreamSnapshot(
    stream="ingest:{0}",
    added=1_234_900,
    stored=1_234_570,
    dead_lettered=27,
    duplicates=12,
    in_stream=303,
    oldest_s=0.42,
    consumers=(ConsumerInfo("edge-writer-4711-9f3c2a-0", 303, 12), ConsumerInfo("edge-writer-4711-9f3c2a-1", 0, 480)),
)
BEHIND = replace(
    CALM,
    stream="ingest:{1}",
    added=45_100,
    stored=100,
    dead_lettered=0,
    duplicates=1,
    in_stream=45_000,
    oldest_s=95,
    consumers=(ConsumerInfo("edge-writer-4711-9f3c2a-0", 800, 65_000),),
)
RECEIVERS = (
    Receiver(client_id="receiver-0", process="edge-1", broker=True, appended=9, appended_per_s=1490, idle_s=0.7),
    Receiver(client_id="receiver-1", process="edge-2", broker=True, waiting=True, idle_s=1.9),
    Receiver(client_id="receiver-2", process="edge-3", broker=False, idle_s=2.0),
    Receiver(client_id="receiver-3", process="edge-4", broker=True, appended_per_s=99, idle_s=300),
)
WRITERS = (Writer(name="edge-writer-4711-9f3c2a", rows_per_s=14_700, p50_s=0.024, p99_s=1.32, idle_s=1.1),)
STATUS = Status(
    before=[replace(CALM, added=1_233_400, stored=1_233_100), replace(BEHIND, added=44_900, in_stream=44_800)],
    now=[CALM, BEHIND],
    seconds=1.0,
    cap=50_000,
    lost={"ingest:{0}": 0, "ingest:{1}": 0},
    dependencies=UP,
    receivers=RECEIVERS,
    writers=WRITERS,
    at=datetime(2026, 11, 24, tzinfo=UTC),
)
