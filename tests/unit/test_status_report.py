"""What `status` concludes from its figures: forecasts, exit codes, JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.support.statuses import CALM, STATUS
from traksense_ingest.ops.status.dependency import Dependency, State
from traksense_ingest.ops.status.report import Forecast, Status, forecast
from traksense_ingest.shared.streams.heartbeat import Receiver, Wait, Writer
from traksense_ingest.shared.streams.snapshot import StreamSnapshot


@pytest.mark.parametrize(
    ("receiver", "is_gone"),
    [
        (Receiver(client_id="r", idle_s=14.9), False),
        (Receiver(client_id="r", idle_s=15.1), True),
        (Receiver(client_id="r", idle_s=0.1, stopped=True), True),
    ],
)
def test_a_receiver_that_is_gone_is_not_well(receiver: Receiver, is_gone: bool) -> None:
    status = replace(STATUS, receivers=[receiver])
    report = json.loads(status.as_json())
    assert (status.exit_code, report["ok"], report["receivers"][0]["gone"]) == (int(is_gone), not is_gone, is_gone)


@pytest.mark.parametrize("waits", [(Wait("redis", "n1:7001 has 0 replicas, and INGEST_REPLICAS is 1", 95.0),), ()])
def test_a_process_that_waits_is_not_well(waits: tuple[Wait, ...]) -> None:
    receiver = replace(STATUS, receivers=[Receiver(client_id="r", broker=True, waits=waits)])
    writer = replace(STATUS, receivers=[], writers=[Writer(name="w", waits=waits)])
    assert (receiver.exit_code, writer.exit_code) == (len(waits), len(waits))
    assert [name for name, _ in (*receiver.waits, *writer.waits)] == ["receiver r", "writer w"][: 2 * len(waits)]
    expected = [{"component": each.component, "reason": each.reason, "seconds": each.seconds} for each in waits]
    assert json.loads(receiver.as_json())["receivers"][0]["waits"] == expected
    assert json.loads(writer.as_json())["writers"][0]["waits"] == expected
    gone = replace(STATUS, receivers=[Receiver(client_id="r", idle_s=20, waits=waits)])
    assert (gone.exit_code, gone.waits) == (1, []), "it is gone, and waits for nothing"


def dependencies(*states: State) -> Sequence[Dependency]:
    return [Dependency(name, "", state) for name, state in zip(("broker", "redis", "database"), states, strict=True)]


@pytest.mark.parametrize(
    ("states", "missing", "lost", "code"),
    [
        ((State.UP, State.UP, State.UP), 0, 0, 0),
        ((State.SKIPPED, State.UP, State.SKIPPED), 0, 0, 0),
        ((State.UNREACHABLE, State.UP, State.UP), 0, 0, 1),
        ((State.UP, State.UP, State.UNREACHABLE), 0, 0, 1),
        ((State.UP, State.UP, State.WRONG), 0, 0, 1),
        ((State.UP, State.UP, State.UP), 1, 0, 1),
        ((State.UP, State.UP, State.UP), 0, 1, 1),
        ((State.REFUSED, State.UP, State.UP), 0, 0, 2),
        ((State.UNREACHABLE, State.UP, State.REFUSED), 1, 0, 2),
    ],
)
def test_the_exit_code(states: tuple[State, ...], missing: int, lost: int, code: int) -> None:
    shard = StreamSnapshot(stream="ingest:{0}", added=missing)
    status = Status([shard], [shard], 1.0, 10, {"ingest:{0}": lost}, dependencies(*states))
    assert status.exit_code == code
    assert json.loads(status.as_json())["ok"] is (code == 0)


def test_the_exit_code_without_redis() -> None:
    assert Status((), None, 0.0, 10, dependencies=dependencies(State.UP, State.UNREACHABLE, State.UP)).exit_code == 1


@pytest.mark.parametrize(
    ("backlog", "in_rate", "growth", "expected"),
    [
        (0, 0, 0, Forecast("keeping_up")),
        (8, 2, 4, Forecast("keeping_up")),  # what a batch holds
        (300, 1500, 30, Forecast("keeping_up")),
        (500, 100, 100, Forecast("filling", 5)),
        (500, 0, -50, Forecast("draining", 10)),
        (500, 1000, 500, Forecast("keeping_up")),
        (500, 100, 1, Forecast("steady")),
        (500, 0, 0, Forecast("steady")),
        (1000, 0, 0, Forecast("full")),
        (1000, 100, -100, Forecast("full", 10)),
        (1200, 100, 5, Forecast("full")),
    ],
)
def test_forecasts(backlog: int, in_rate: float, growth: float, expected: Forecast) -> None:
    assert forecast(backlog, 1000, in_rate, growth) == expected


def test_rates_and_forecasts_in_json() -> None:
    calm, behind = json.loads(STATUS.as_json())["shards"]
    assert (calm["added_per_s"], calm["settled_per_s"], calm["trend"]) == (1500, 1470, "keeping_up")
    assert (behind["trend"], behind["until_full_s"], behind["until_empty_s"]) == ("filling", 25, None)
    assert {"stream", "added", "stored", "in_stream", "pending", "missing", "lost", "consumers"} <= calm.keys()


def test_a_stream_that_was_recreated_meanwhile_has_no_negative_rate() -> None:
    status = Status([CALM], [replace(CALM, added=3, stored=0, in_stream=3)], 1.0, 10)
    assert (status.rate(status.shards[0], "added"), status.rate(status.shards[0], "settled")) == (0, 0)
