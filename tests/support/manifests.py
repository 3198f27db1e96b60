"""What is in deploy/kubernetes, and the chart in deploy/helm."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import yaml

from deploy.helm.render import CHART, DIRECTORY

FILES = sorted(path for path in DIRECTORY.rglob("*.yaml") if path.name != "kustomization.yaml")
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
CUSTOM = ("ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule", "ExternalSecret")

Thing = dict[str, Any]


def objects(*kinds: str) -> list[Thing]:
    """All objects that are committed, or those of some kinds."""
    found = [thing for path in FILES for thing in yaml.safe_load_all(path.read_text())]
    return [thing for thing in found if not kinds or thing["kind"] in kinds]


def workloads(things: Iterable[Thing] | None = None) -> list[Thing]:
    """Those that have pods."""
    return [thing for thing in (objects() if things is None else things) if "template" in thing.get("spec", {})]


def pod(workload: Thing) -> Thing:
    """The spec of its pods."""
    found: Thing = workload["spec"]["template"]["spec"]
    return found


def labels(workload: Thing) -> dict[str, str]:
    """Those of its pods."""
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def container(workload: Thing) -> Thing:
    """The one that does the work."""
    (found,) = pod(workload)["containers"]
    assert isinstance(found, dict)
    return found


def containers(workload: Thing) -> list[Thing]:
    """With sidecars."""
    return [*pod(workload).get("initContainers", ()), container(workload)]


def component(thing: Thing) -> str:
    """receiver, writer, migrate, toolbox …"""
    return str(thing["metadata"]["labels"]["app.kubernetes.io/component"])


def name(thing: Thing) -> str:
    """For the names of tests."""
    return f"{thing['kind']}-{thing['metadata']['name']}"


def config() -> dict[str, str]:
    """The variables of deploy/kubernetes/config.env."""
    lines = (DIRECTORY / "config.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
