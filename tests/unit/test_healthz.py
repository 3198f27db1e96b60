"""Docker's health check: alive, whatever else is unreachable."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from traksense_ingest.ops.embedded import free_port
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.runtime.health import Health
from traksense_ingest.shared.runtime.health_server import HealthServer

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "ops" / "healthz.sh"

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="no bash")


def serving(health: Health, metrics: ReceiverMetrics) -> HealthServer:
    return HealthServer("127.0.0.1", 0, metrics, health)


def probe(script: Path = SCRIPT, **environment: object) -> tuple[int, str]:
    """Its exit code, and all that it says."""
    given = {name: str(value) for name, value in environment.items()}
    done = subprocess.run(["bash", script], env=given, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_alive_though_nothing_that_it_needs_answers() -> None:
    metrics = ReceiverMetrics()
    health = Health(metrics, {"broker": "mqtt://h", "redis": "redis://h"})
    with serving(health, metrics) as server:
        assert not health.is_ready
        assert probe(METRICS_PORT=server.port) == (0, "")


def test_not_alive_when_its_event_loop_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = ReceiverMetrics()
    health = Health(metrics, {})
    monkeypatch.setattr(Health, "is_alive", False)
    with serving(health, metrics) as server:
        assert probe(METRICS_PORT=server.port) == (1, "")


def test_not_alive_when_nobody_listens() -> None:
    assert probe(METRICS_PORT=free_port()) == (1, "")


def test_not_alive_when_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert probe(METRICS_PORT=silent.getsockname()[1]) == (1, "")


@pytest.mark.parametrize("place", [0, 1])
def test_without_the_variable_it_asks_where_receivers_and_writers_listen(tmp_path: Path, place: int) -> None:
    metrics, script = ReceiverMetrics(), tmp_path / "healthz.sh"
    assert "${METRICS_PORT:-9100 9101}" in SCRIPT.read_text()
    with serving(Health(metrics, {}), metrics) as server:
        ports = [str(free_port()), str(free_port())]
        ports[place] = str(server.port)
        script.write_text(SCRIPT.read_text().replace("9100 9101", " ".join(ports)))
        assert probe(script) == (0, "")


def test_the_service_has_nothing_to_say_of_it(capfd: pytest.CaptureFixture[str]) -> None:
    """An answer that is not read to its end is an error of the one who answers."""
    metrics = ReceiverMetrics()
    with serving(Health(metrics, {}), metrics) as server:
        for _ in range(10):
            assert probe(METRICS_PORT=server.port)[0] == 0
    assert capfd.readouterr().err == ""


def test_the_image_has_it() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "COPY ops/healthz.sh /usr/local/bin/healthz\n" in dockerfile
    assert 'CMD ["bash", "/usr/local/bin/healthz"]' in dockerfile
    assert "!ops\n" in (ROOT / ".dockerignore").read_text()
