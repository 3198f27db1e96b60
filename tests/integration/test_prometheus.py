"""Prometheus's own tools on what ships here, and the dashboard's expressions on a pipeline that runs."""

from __future__ import annotations

import math
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.support.prometheus import DEPLOY, RULE_TESTS, RULES, Prometheus, queries
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port

pytestmark = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")), reason="Prometheus is not installed here"
)


def promtool(*arguments: str) -> str:
    """What it says where the configuration is."""
    result = subprocess.run(["promtool", *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_configuration_is_valid_and_finds_all_rules() -> None:
    said = promtool("check", "config", "prometheus.yml")
    assert [path.name for path in RULES if f"rules/{path.name}" not in said] == []


@pytest.mark.long
@pytest.mark.parametrize("tests", RULE_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(tests: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(tests))


@pytest.mark.long
async def test_every_panel_has_data_and_no_alert_fires(stack: Stack, tmp_path: Path) -> None:
    receiver, writer = await stack.receiver(), await stack.writer()
    ports = {"receiver": receiver.port, "writer": writer.port}
    with Prometheus(tmp_path / "prometheus", free_port(), ports) as prometheus:
        await eventually(lambda: len(prometheus.values("up == 1")) == 2)
        for second in range(5):
            await stack.publish(telem(second=second, points=3))
            await stack.has_rows("ts_measure", 3 * (second + 1))
        for panel, query in queries().items():
            await eventually(partial(_numbers, prometheus, query), f"{panel}: {query}")
        found = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
        assert [rule["name"] for rule in found if rule["health"] != "ok"] == []
        assert [rule["name"] for rule in found if rule.get("state") == "firing"] == []


def _numbers(prometheus: Prometheus, query: str) -> bool:
    values = prometheus.values(query)
    return bool(values) and not any(map(math.isnan, values))
