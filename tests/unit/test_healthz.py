"""Docker's health check: alive, whatever else is away."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ops import healthz
from ops.embedded import free_port
from shared.health import Health, HealthServer
from shared.metrics import ReceiverMetrics


def serving(health: Health, metrics: ReceiverMetrics) -> HealthServer:
    return HealthServer("127.0.0.1", 0, metrics, health)


def test_alive_though_nothing_that_it_needs_answers() -> None:
    metrics = ReceiverMetrics()
    health = Health(metrics, {"broker": "mqtt://h", "redis": "redis://h"})
    with serving(health, metrics) as server:
        assert not health.is_ready
        assert healthz.is_alive({"METRICS_PORT": str(server.port)})


def test_not_alive_when_its_event_loop_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = ReceiverMetrics()
    health = Health(metrics, {})
    monkeypatch.setattr(Health, "is_alive", False)
    with serving(health, metrics) as server:
        assert not healthz.is_alive({"METRICS_PORT": str(server.port)})


@pytest.mark.parametrize("place", [0, 1])
def test_without_the_variable_it_asks_where_receivers_and_writers_listen(
    monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    metrics = ReceiverMetrics()
    with serving(Health(metrics, {}), metrics) as server:
        ports = [str(free_port()), str(free_port())]
        ports[place] = str(server.port)
        monkeypatch.setattr(healthz, "PORTS", tuple(ports))
        assert healthz.is_alive({})


def test_its_exit_code_says_it() -> None:
    metrics = ReceiverMetrics()
    command = [sys.executable, "-m", "ops.healthz"]
    with serving(Health(metrics, {}), metrics) as server:
        assert subprocess.run(command, env={"METRICS_PORT": str(server.port)}, check=False).returncode == 0
    assert subprocess.run(command, env={"METRICS_PORT": str(free_port())}, check=False).returncode == 1
