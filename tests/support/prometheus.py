"""Prometheus: the rules and the dashboard that ship here, and the program where Debian's is installed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from deploy.grafana.dashboard import PATH as DASHBOARD
from traksense_ingest.ops.embedded import Server
from traksense_ingest.shared.metrics import ReceiverMetrics, WriterMetrics

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = sorted((DEPLOY / "rules").glob("*.yml"))
RULE_TESTS = sorted((DEPLOY / "tests").glob("*.yml"))

_GLOBAL = {"scrape_interval": "1s", "evaluation_interval": "1s", "external_labels": {"docs": "docs"}}
# What Grafana puts in; the interval holds the whole test.
_VARIABLES = {"$job": ".+", "$instance": ".+", "$__rate_interval": "5m"}


def rules(kind: str) -> list[dict[str, Any]]:
    """Every rule of a kind: `alert` or `record`."""
    files = [yaml.safe_load(path.read_text()) for path in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"] if kind in rule]


def rule_tests() -> list[dict[str, Any]]:
    """What promtool has to expect of alerts."""
    files = [yaml.safe_load(path.read_text()) for path in RULE_TESTS]
    return [case for file in files for test in file["tests"] for case in test.get("alert_rule_test", ())]


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels, as committed."""
    return list(json.loads(DASHBOARD.read_text())["panels"])


def queries() -> dict[tuple[str, str], str]:
    """The dashboard's expressions, by panel and number, with Grafana's variables filled in."""
    return {
        (panel["title"], target["refId"]): _filled_in(target["expr"])
        for panel in panels()
        for target in panel.get("targets", ())
    }


def names_in(expression: str) -> set[str]:
    """The names of our metrics and recording rules in PromQL."""
    unquoted = re.sub(r'"[^"]*"', "", expression)
    return {name for name in re.findall(r"[A-Za-z_:][\w:]*", unquoted) if "ingest_" in name}


def catalogue() -> set[str]:
    """The names of all series that a receiver or a writer has."""
    registries = ReceiverMetrics().registry, WriterMetrics().registry
    return {sample.name for registry in registries for family in registry.collect() for sample in family.samples}


def _filled_in(expression: str) -> str:
    for variable, value in _VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


class Prometheus(Server):
    """Debian's Prometheus with the rules that ship here, looking at these ports every second."""

    name: ClassVar[str] = "prometheus"

    def __init__(self, directory: Path, port: int, targets: Mapping[str, int]) -> None:
        super().__init__(directory, port)
        self._targets = targets

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of one answer of its HTTP API. Raises OSError for one that isn't a success."""
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as response:
            return json.load(response)["data"]

    def values(self, expression: str) -> list[float]:
        """What an expression evaluates to now."""
        return [float(series["value"][1]) for series in self.ask("query", query=expression)["result"]]

    @property
    def _config_path(self) -> Path:
        return self.directory / "prometheus.yml"

    def _prepare(self) -> None:
        self._config_path.write_text(yaml.safe_dump(self._config()))

    def _config(self) -> dict[str, Any]:
        return {
            "global": _GLOBAL,
            "rule_files": [str(path) for path in RULES],
            "scrape_configs": list(self._scrape_configs()),
        }

    def _scrape_configs(self) -> Iterator[dict[str, Any]]:
        for job, port in self._targets.items():
            yield {"job_name": job, "static_configs": [{"targets": [f"{self.host}:{port}"]}]}

    def _command(self) -> list[str]:
        return [
            shutil.which("prometheus") or "prometheus",
            f"--config.file={self._config_path}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={self.host}:{self.port}",
        ]

    def _answers(self) -> bool:
        with urlopen(f"{self.url}/-/ready", timeout=2) as response:
            return bool(response.status == 200)
