"""deploy/systemd: units that systemd understands, with variables that the configuration knows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from traksense_ingest.ops.cli import main
from traksense_ingest.shared.config import Settings, load
from traksense_ingest.shared.runtime.service import EXIT_MISCONFIGURED, GRACE_S

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))
SERVICES = [path for path in UNITS if "@" in path.name]
PROGRAM = "/opt/traksense/bin/traksense-ingest"


def values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_understands_it(unit: Path, tmp_path: Path) -> None:
    here = tmp_path / unit.name.replace("@", "@0")
    here.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(here)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")  # it only warns of a key that it doesn't know


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_it_runs_a_command_that_there_is(unit: Path) -> None:
    ((program, command),) = (line.split() for line in values(unit, "ExecStart"))
    assert program == PROGRAM
    assert command in main.commands


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_each_instance_is_configured_and_differs(unit: Path) -> None:
    given = dict(word.split("=") for line in values(unit, "Environment") for word in line.split())
    assert given.keys() <= {name.upper() for name in Settings.model_fields}
    assert "%i" in given["METRICS_PORT"]
    assert ("MQTT_CLIENT_ID" in given) == ("receiver" in unit.name)
    numbered = {name.lower(): value.replace("%i", "3") for name, value in given.items()}
    assert load(**numbered).log_format == "json"


def test_no_two_instances_have_one_port() -> None:
    ports = [re.findall(r"METRICS_PORT=(\S+)", unit.read_text())[0] for unit in SERVICES]
    assert len({port.replace("%i", str(number)) for port in ports for number in range(10)}) == 10 * len(ports)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_it_comes_back_unless_that_is_hopeless_and_has_time_to_settle(unit: Path) -> None:
    assert values(unit, "Restart") == ["always"]
    assert values(unit, "RestartPreventExitStatus") == [str(EXIT_MISCONFIGURED)]
    (seconds,) = values(unit, "TimeoutStopSec")
    assert float(seconds) > 2 * GRACE_S


@pytest.mark.parametrize("key", ["NoNewPrivileges", "ProtectSystem", "CapabilityBoundingSet", "User"])
def test_all_are_hardened_alike(key: str) -> None:
    assert len({tuple(values(unit, key)) for unit in UNITS}) == 1
    assert all(values(unit, key) for unit in UNITS)
