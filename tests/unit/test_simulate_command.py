"""The options of `simulate`: what is wrong with them is said in one line, with exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from traksense_ingest.ops.cli import main
from traksense_ingest.ops.simulate.run import connections_for


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, ["simulate", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bad", "1.5"], "--bad"),
        (["--rate", "0"], "--rate"),
        (["--devices", "0"], "--devices"),
        (["--messages", "x"], "--messages"),
        (["--duration", "-1"], "--duration"),
        (["--start", "yesterday"], "RFC 3339"),
        (["--start", "2025-10-07T15:30:00"], "no Z or offset"),
        (["--start", "1999-12-31T23:59:59Z"], "before 2000"),
        (["--start", "2999-01-01T00:00:00Z"], "INGEST_MAX_FUTURE_S"),
        (["--tenant", "a/b"], "--tenant"),
        (["--tenant", "+"], "--tenant"),
        (["--tenant", "x" * 128, "--tenants", "2"], "more than 128"),
        (["--wrong"], "--wrong"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not result.stdout


def test_a_bad_variable_is_one_line_and_exit_code_2() -> None:
    result = run(MQTT_PROTOCOL="4")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "MQTT_PROTOCOL" in result.stderr


def test_a_ca_that_is_none_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.touch()
    result = run(MQTT_URL="mqtts://127.0.0.1:1", MQTT_TLS_CA=str(empty))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "MQTT_TLS_CA" in result.stderr


def test_help_teaches_by_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "traksense-ingest simulate --devices 50 --rate 100" in result.stdout


@pytest.mark.parametrize(
    ("rate", "devices", "connections"), [(1, 20, 1), (500, 20, 1), (501, 20, 2), (5000, 20, 4), (5000, 3, 3)]
)
def test_connections_by_rate(rate: float, devices: int, connections: int) -> None:
    assert connections_for(rate, devices, states=False) == connections


@pytest.mark.parametrize(("devices", "connections"), [(20, 20), (200, 200), (201, 1)])
def test_with_states_a_device_has_a_connection_of_its_own(devices: int, connections: int) -> None:
    assert connections_for(20, devices, states=True) == connections
