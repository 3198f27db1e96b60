"""METRICS_HOST: one address and no other, IPv4 or IPv6; a wrong one is one line."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request

import pytest

from traksense_ingest.ops.embedded import free_port
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.runtime.health import Health
from traksense_ingest.shared.runtime.health_server import HealthServer


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def serve(host: str, port: int = 0) -> HealthServer:
    metrics = ReceiverMetrics()
    return HealthServer(host, port, metrics, Health(metrics, {}))


def answers(host: str, port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/healthz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize(
    ("host", "reached", "out_of_reach"),
    [
        ("127.0.0.1", ["127.0.0.1", "localhost"], ["127.0.0.2", "[::1]"]),
        ("127.0.0.2", ["127.0.0.2"], ["127.0.0.1", "[::1]"]),
        ("localhost", ["127.0.0.1"], ["127.0.0.2"]),
        ("0.0.0.0", ["127.0.0.1", "127.0.0.2"], ["[::1]"]),
        ("::1", ["[::1]"], ["127.0.0.1", "127.0.0.2"]),
    ],
)
def test_it_listens_on_that_address_alone(host: str, reached: list[str], out_of_reach: list[str]) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no ::1")
    with serve(host) as server:
        assert [name for name in reached if not answers(name, server.port)] == []
        assert [name for name in out_of_reach if answers(name, server.port)] == []


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "no-such-host.invalid", "2001:db8::1", "127.0.0.1:9100", "a..b", "x" * 64]
)
def test_an_address_that_is_not_ours_is_reported(host: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        serve(host)
    assert str(raised.value).startswith(f"port 0 on {host} can't be used for metrics (")
    assert str(raised.value).endswith("; set METRICS_HOST to another")


def test_a_port_that_is_in_use_is_reported() -> None:
    with serve("127.0.0.1") as server, pytest.raises(ConfigurationError, match="set METRICS_PORT to another"):
        serve("127.0.0.1", server.port)


@pytest.mark.parametrize("service", ["receiver", "writer"])
def test_a_wrong_address_is_one_line_and_exit_code_2(service: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"traksense_ingest.{service}"],
        env={"METRICS_HOST": "192.0.2.1", "METRICS_PORT": str(free_port()), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "set METRICS_HOST to another" in done.stderr
