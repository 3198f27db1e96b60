"""docs/kubernetes.md: its commands, values and queries are those of the chart and the manifests."""

from __future__ import annotations

import re
import shlex
import shutil
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from deploy.helm.render import CHART, template
from tests.support.handbook import DOCS
from tests.support.manifests import VALUES, component, container, objects, workloads

PAGE = (DOCS / "kubernetes.md").read_text()
RESOURCES = {"statefulset": "StatefulSet", "deployment": "Deployment", "deploy": "Deployment", "job": "Job"}
HELM = re.findall(r"^ *helm (?:install|upgrade) traksense \S+ -n traksense (.*)$", PAGE, re.MULTILINE)


def test_what_commands_name_is_there() -> None:
    named = {(RESOURCES[kind], name) for kind, name in re.findall(rf"\b({'|'.join(RESOURCES)})/(traksense-\w+)", PAGE)}
    assert len(named) >= 4
    assert named <= {(thing["kind"], thing["metadata"]["name"]) for thing in workloads()}


def test_the_table_has_every_workload() -> None:
    rows = dict(re.findall(r"^\| `(traksense-\w+)` \| (\w+)", PAGE, re.MULTILINE))
    assert rows == {thing["metadata"]["name"]: thing["kind"] for thing in workloads()}


def test_the_values_that_it_names_are_there() -> None:
    groups = "|".join(VALUES)
    named = set(re.findall(rf"`((?:{groups})\.[\w.]+)(?:=\w+)?`", PAGE)) - {"config.env"}  # a file
    assert {"receiver.leave.enabled", "monitoring.rules.docsUrl", "networkPolicy.redis.ports"} <= named
    for path in named:
        reduce(lambda values, key: values[key], path.split("."), VALUES)
    autoscaling = VALUES["writer"]["autoscaling"]
    assert f"`messagesPerWriter` is {autoscaling['prometheus']['messagesPerWriter']:_}".replace("_", " ") in PAGE
    assert f"more than {VALUES['receiver']['autoscaling']['averageCpu']} of CPU" in PAGE
    assert f"`terminationGracePeriodSeconds` ({VALUES['receiver']['terminationGracePeriodSeconds']} s)" in PAGE


def test_the_query_is_that_of_the_manifest() -> None:
    (shown,) = re.findall(r"^    (\(sum\(.*)$", PAGE, re.MULTILINE)
    (scaler,) = objects("ScaledObject")
    query = scaler["spec"]["triggers"][0]["metadata"]["query"]
    for selector in ('{namespace="traksense"}', ', namespace="traksense"'):
        query = query.replace(selector, "")
    assert re.sub(r"\s", "", query) == re.sub(r"\s", "", shown)


def test_scripts_are_where_commands_look_for_them() -> None:
    scripts = set(re.findall(r"/scripts/(\w+\.py)", PAGE))
    (config_map,) = objects("ConfigMap")
    (toolbox,) = (thing for thing in workloads() if component(thing) == "toolbox")
    assert {"validate.py"} == scripts <= set(config_map["data"])
    assert {"/scripts", "/mappings"} <= {mount["mountPath"] for mount in container(toolbox)["volumeMounts"]}
    assert all(config_map["data"][name] == (CHART / "files" / name).read_text() for name in config_map["data"])


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")
@pytest.mark.parametrize("options", HELM)
def test_helm_takes_the_commands(options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "machines.yaml").write_text("name: machines\n")
    monkeypatch.chdir(tmp_path)
    given: list[Any] = [each for each in shlex.split(options) if each != "--reuse-values"]
    assert "kind: StatefulSet" in template(*given)


def test_there_are_such_commands() -> None:
    assert len(HELM) == 3
