"""The first line of `status`: one sentence about the worst that is so, which agrees with the exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from tests.support.statuses import BEHIND, CALM, STATUS, UP
from traksense_ingest.ops.status.dependency import Dependency, State
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.screen import plain
from traksense_ingest.ops.status.verdict import verdict
from traksense_ingest.shared.streams.heartbeat import Receiver, Wait, Writer
from traksense_ingest.shared.streams.nodes import Node

RECEIVER = Receiver(client_id="r", broker=True)
WRITER = Writer(name="w")
GONE = Receiver(client_id="gone", idle_s=20)
WELL = replace(STATUS, before=STATUS.before[:1], now=[CALM], receivers=[RECEIVER], writers=[WRITER])
BROKER, DATABASE = Wait("broker", "refused", 40.0), Wait("database", "the disk is full", 40.0)
NODE = Node("10.0.0.1:7001", True, False)


def down(name: str, state: State = State.UNREACHABLE) -> Sequence[Dependency]:
    return [replace(each, state=state) if each.name == name else each for each in UP]


def waiting(component: str, seconds: float = 40.0) -> dict[str, Any]:
    wait = Wait(component, "a reason\x1b[2J", seconds)
    return {"receivers": [replace(RECEIVER, broker=component != "broker", waits=[wait])]}


def still(in_stream: int, growth: int = 0) -> dict[str, Any]:
    """Streams in which nothing is settled, with so many entries and so many more in the last second."""
    now = replace(BEHIND, in_stream=in_stream, added=100 + in_stream)
    return {"now": [now], "before": [replace(now, in_stream=in_stream - growth, added=now.added - growth)]}


BROKER_KEEPS = "the broker keeps the messages"
KEEPS = "receivers acknowledge nothing, so the broker keeps the messages"
CAUSES: dict[str, tuple[dict[str, Any], str]] = {
    "redis": ({"dependencies": down("redis"), "now": None, "before": ()}, f"Redis is unreachable: {KEEPS}."),
    "redis refused": (
        {"dependencies": down("redis", State.REFUSED), "now": None, "before": ()},
        "Redis rejects the connection: the backlog is not known.",
    ),
    "a shard": ({"now": None}, "A stream can't be read: the backlog is not known."),
    "node": ({"nodes": [NODE]}, "1 node of the Redis Cluster is unreachable."),
    "removed": (
        {"now": [replace(CALM, added=CALM.added + 3)]},
        "3 entries have left the streams without being stored.",
    ),
    "lost": (
        {"lost": {CALM.stream: 1}},
        "1 entry has left the streams without being stored.",
    ),
    "recreated": (
        {"now": [replace(CALM, added=CALM.added - 3)]},
        "A stream was deleted and recreated: its counts do not balance.",
    ),
    "database": (
        {"dependencies": down("database"), "outages": {"database": 40.0}, **still(45_000, 100)},
        "The database has been unreachable for 40 s: nothing is lost, the backlog grows, a stream is full in 50 s.",
    ),
    "database, seen by a writer later": (
        {
            "dependencies": down("database"),
            "outages": {"database": 70.0},
            "writers": [replace(WRITER, waits=[DATABASE])],
            **still(0),
        },
        "The database has been unreachable for 70 s: nothing is lost.",
    ),
    "database refused": (
        {"dependencies": down("database", State.REFUSED), **still(7)},
        "The database rejects the connection, or is not migrated: nothing is lost, 7 entries wait in the streams.",
    ),
    "database wrong": (
        {"dependencies": down("database", State.WRONG), **still(50_000)},
        f"The database answers, but can't be used: nothing is lost, a stream is full, and {BROKER_KEEPS}.",
    ),
    "database from here": (
        {"dependencies": down("database")},
        "The database is unreachable for this check, but writers store messages.",
    ),
    "database, a moment ago": (
        {"dependencies": down("database"), "is_rate_older": True},
        "The database is unreachable: nothing is lost, 303 entries wait in the streams.",
    ),
    "a writer's database": (
        {"writers": [WRITER, replace(WRITER, name="x", waits=[DATABASE])], **still(0)},
        "1 of 2 writers can't use the database (for 40 s): nothing is lost.",
    ),
    "the writer's database": (
        {"writers": [replace(WRITER, waits=[DATABASE])], **still(1)},
        "The writer can't use the database (for 40 s): nothing is lost, 1 entry waits in the streams.",
    ),
    "broker": (
        {"dependencies": down("broker"), **waiting("broker")},
        "The broker has been unreachable for 40 s: no new messages arrive.",
    ),
    "broker from here": (
        {"dependencies": down("broker")},
        "The broker is unreachable for this check, but receivers are connected.",
    ),
    "broker not asked": (
        {"dependencies": down("broker", State.SKIPPED), **waiting("broker")},
        "The broker has been unreachable for 40 s: no new messages arrive.",
    ),
    "a receiver's broker": (
        {"receivers": [RECEIVER, replace(RECEIVER, client_id="x", broker=False, waits=[BROKER])]},
        "1 of 2 receivers can't use the broker (for 40 s).",
    ),
    "gone": (
        {"receivers": [RECEIVER, GONE, replace(GONE, client_id="x")]},
        "2 receivers are gone: their sessions at the broker may hold messages.",
    ),
    "redis of a receiver": (waiting("redis"), "receiver r can't use redis (for 40 s): a reason\\x1b[2J"),
    "clock": (
        {"writers": [replace(WRITER, name=each, waits=[Wait("clock", "behind", 9.0)]) for each in "ab"]},
        "writer a (and 1 other) can't use clock (for 9 s): behind",
    ),
    "shards": (
        {"receivers": [replace(RECEIVER, shards=1)], "writers": [replace(WRITER, shards=2)]},
        "Receivers and writers have different INGEST_SHARDS: messages may be stored out of order.",
    ),
}
WARNINGS: dict[str, tuple[dict[str, Any], str]] = {
    "full": (
        still(50_000),
        "ingest:{1} is full: nothing is lost, receivers wait, and the broker keeps the messages.",
    ),
    "no writer": (
        {"writers": [], **still(700, 100)},
        "No writer is running: nothing is lost, the backlog grows, a stream is full in 493 s.",
    ),
    "no receiver": (
        {"receivers": []},
        "No receiver is running: messages wait at the broker, up to its own limits.",
    ),
    "starting": ({"receivers": [replace(RECEIVER, broker=False)]}, "1 receiver is not connected to the broker yet."),
    "filling": (still(45_000, 200), "More messages arrive than are stored: a stream is full in 25 s."),
    "draining": (
        {
            "now": [replace(BEHIND, added=400, in_stream=300)],
            "before": [replace(BEHIND, added=400, stored=0, in_stream=400)],
        },
        "The backlog of 300 entries shrinks: empty in 3 s.",
    ),
    "steady": (still(45_000), "The backlog of 45000 entries does not shrink."),
    "reload": (
        {"writers": [replace(WRITER, reload_error="a fault")]},
        "The last reload of the mappings failed: writer w continued with the previous ones.",
    ),
    "mappings": (
        {"receivers": [replace(RECEIVER, mappings={"a": "1"})], "writers": [replace(WRITER, mappings={"a": "2"})]},
        "Receivers and writers run with different mappings: some messages may be rejected.",
    ),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_of_another_exit_code_is_a_bad_verdict(cause: str) -> None:
    changes, text = CAUSES[cause]
    status = changed(changes)
    assert status.exit_code != 0
    assert verdict(status) == ("bad", text)


@pytest.mark.parametrize("cause", WARNINGS)
def test_what_loses_nothing_is_a_warning(cause: str) -> None:
    changes, text = WARNINGS[cause]
    status = changed(changes)
    assert (status.exit_code, *verdict(status)) == (0, "warning", text)


def test_the_level_agrees_with_the_exit_code_whatever_comes_together() -> None:
    everything = {**CAUSES, **WARNINGS}
    for first, second in combinations(everything, 2):
        status = changed({**everything[first][0], **everything[second][0]})
        assert (verdict(status).level == "bad") is (status.exit_code != 0), (first, second)


def test_it_is_the_first_line_and_in_the_json() -> None:
    assert verdict(WELL) == ("good", "No problems: 1470 messages/s are stored as they arrive.")
    empty = replace(CALM, added=CALM.added - CALM.in_stream, in_stream=0)
    idle = changed({"before": [empty], "now": [empty]})
    assert plain(idle).splitlines()[:2] == ["No problems; no messages arrive.", ""]
    assert json.loads(idle.as_json())["verdict"] == {"level": "good", "text": "No problems; no messages arrive."}


def changed(changes: dict[str, Any]) -> Status:
    streams = [shard.stream for shard in changes.get("now", WELL.now) or ()]
    return replace(WELL, **{"lost": dict.fromkeys(streams, 0), **changes})
