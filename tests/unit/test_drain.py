"""`python -m ops.drain`: nothing stops before the receivers have taken what the broker held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from traksense_ingest.ops import drain
from traksense_ingest.ops.drain import LIMIT_S, QUIET_S, Progress
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.runtime.health import Health
from traksense_ingest.shared.runtime.health_server import HealthServer

IDLE = Progress(100, 100, is_blocked=False)


class Clock:
    """Time that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def drained(*observed: Progress | None) -> tuple[str, float]:
    """What is said and after how many seconds, where the last of `observed` stays."""
    clock, left = Clock(), list(observed)
    said = drain.drain(lambda: left.pop(0) if len(left) > 1 else left[0], clock, clock.sleep)
    return said, clock.now


def test_idle_receivers_are_waited_for_as_long_as_a_delivery_may_take() -> None:
    said, took = drained(IDLE)
    assert said.startswith("receivers have taken everything")
    assert QUIET_S <= took < 2 * QUIET_S


def test_receivers_that_still_take_messages_are_waited_for() -> None:
    busy = [Progress(100 + number, 100 + number, is_blocked=False) for number in range(50)]
    said, took = drained(*busy)
    assert said.startswith("receivers have taken everything")
    assert took >= 49 * drain.POLL_S + QUIET_S


def test_receivers_that_can_take_nothing_are_waited_for_up_to_a_limit() -> None:
    said, took = drained(Progress(100, 90, is_blocked=True))
    assert said.startswith("receivers have not taken everything")
    assert took == pytest.approx(LIMIT_S, abs=1)


def test_receivers_that_are_not_there_are_not_waited_for() -> None:
    assert drained(None) == ("no receiver runs: nothing to wait for", 0)
    assert drained(IDLE, None)[0] == "no receiver runs: nothing to wait for"


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReceiverMetrics]:
    """Those of a receiver that listens on this host."""
    metrics = ReceiverMetrics()
    health = Health(metrics, {"broker": "mqtt://h", "redis": "redis://h"})
    with HealthServer("127.0.0.1", 0, metrics, health) as server:
        monkeypatch.setattr(drain, "RECEIVERS", "127.0.0.1")
        monkeypatch.setattr(drain, "PORT", server.port)
        yield metrics


def test_it_sees_what_a_receiver_does(metrics: ReceiverMetrics) -> None:
    assert drain.progress() == (0, 0, True)
    for name in ("broker", "redis"):
        metrics.connected.labels(name).set(1)
    metrics.received.inc(3)
    metrics.appended.inc(2)
    assert drain.progress() == (3, 2, False)
    metrics.paused.set(1)
    assert drain.progress() == (3, 2, True)


def test_stopped_alone_it_waits_for_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """As when `up` recreates it: devices go on publishing."""
    monkeypatch.setattr(drain, "DEVICES", "localhost")
    monkeypatch.setattr("signal.sigwait", lambda _: signal.SIGTERM)
    monkeypatch.setattr("signal.pthread_sigmask", lambda *_: None)
    monkeypatch.setattr("traksense_ingest.shared.runtime.log.configure", lambda *_: None)
    caplog.set_level("INFO")
    monkeypatch.setattr(drain, "drain", lambda _: pytest.fail("it waits"))
    assert drain.main() == 0
    assert "devices can still connect" in caplog.text


def test_without_a_receiver_it_ends_when_it_is_stopped() -> None:
    """The name `receiver` is compose's own: here there is none."""
    process = subprocess.Popen(
        [sys.executable, "-m", "traksense_ingest.ops.drain"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"LOG_LEVEL": "info"},
    )
    try:
        assert process.stderr
        assert "on SIGTERM" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "no receiver runs" in said
