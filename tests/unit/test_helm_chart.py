"""deploy/helm on the real `helm`, with several values. Where there is none, deploy/kubernetes shows what it renders."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.helm.render import CHART, committed, rendered, template
from tests.support.manifests import CUSTOM, Thing, component, container, containers, labels, name, pod, workloads

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")

VALUES = sorted((CHART / "ci").glob("*.yaml"))


def things(*options: str) -> list[Thing]:
    return [thing for thing in yaml.safe_load_all(template(*options)) if thing]


def with_values(values: dict[str, Any]) -> list[Thing]:
    return things(*(f"--set-json={key}={json.dumps(value)}" for key, value in values.items()))


def one(found: list[Thing], kind: str, ends: str = "") -> Thing:
    (thing,) = (each for each in found if each["kind"] == kind and each["metadata"]["name"].endswith(ends))
    return thing


def error(values: dict[str, Any]) -> str:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        with_values(values)
    return str(raised.value.stderr)


def test_the_manifests_are_what_it_renders() -> None:
    assert committed() == rendered(), "run python -m deploy.helm.render"


@pytest.mark.parametrize("path", [CHART / "values.yaml", *VALUES], ids=lambda path: path.stem)
def test_lint_finds_nothing(path: Path) -> None:
    linted = subprocess.run(
        ["helm", "lint", "--strict", str(CHART), "-f", str(path)], capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("path", [CHART / "values.yaml", *VALUES], ids=lambda path: path.stem)
def test_it_is_what_kubernetes_takes(path: Path) -> None:
    found = things("-f", str(path))
    assert len({name(thing) for thing in found}) == len(found) > 4
    for thing in found:
        if thing["kind"] not in CUSTOM:
            assert kubernetes_validate.validate(thing, "1.29", strict=True)
    selectors = [thing["spec"]["selector"] for thing in found if thing["kind"] in ("Service", "PodDisruptionBudget")]
    for wanted in (each.get("matchLabels", each) for each in selectors):
        assert sum(wanted.items() <= labels(thing).items() for thing in workloads(found)) == 1


def test_a_changed_configmap_replaces_the_pods() -> None:
    before, after = things(), with_values({"config.variables": {"INGEST_QUEUE_MAX": 100000}})
    mapped = with_values({"mappings.files": {"machines.yaml": "name: machines"}})
    edited = with_values({"mappings.files": {"machines.yaml": "name: other"}})
    unrelated = with_values({"toolbox.replicas": 1})
    for workload in ("receiver", "writer"):
        assert annotations_of(before, workload) != annotations_of(after, workload)
        assert len({str(annotations_of(each, workload)) for each in (before, mapped, edited)}) == 3
        assert annotations_of(before, workload) == annotations_of(unrelated, workload)
    reloaded = with_values({"mappings.files": {"machines.yaml": "name: machines"}, "mappings.restart": False})
    assert "checksum/mappings" not in annotations_of(reloaded, "writer")


def test_mappings_are_files_that_the_services_read() -> None:
    found = with_values(
        {"mappings.files": {"machines.yaml": "name: machines"}, "config.variables": {"INGEST_MAPPINGS": "khomp"}}
    )
    assert one(found, "ConfigMap", "-ingest")["data"]["INGEST_MAPPINGS"] == "khomp,/mappings/"
    assert one(found, "ConfigMap", "-mappings")["data"] == {"machines.yaml": "name: machines\n"}
    readers = [each for thing in workloads(found) if component(thing) != "migrate" for each in containers(thing)]
    assert len(readers) == 4
    assert all(
        {"name": "mappings", "mountPath": "/mappings", "readOnly": True} in each["volumeMounts"] for each in readers
    )


def test_migrate_comes_first_and_may_be_made_again() -> None:
    job = one(things(), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"
    assert not [source for source in container(job)["envFrom"] if "configMapRef" in source]  # there is none yet
    assert "volumes" not in pod(job)


def test_numbers_stay_numbers() -> None:
    found = with_values(
        {"config.variables": {"INGEST_QUEUE_MAX": 1000000}, "migrate.variables": {"INGEST_RETENTION_DAYS": 90}}
    )
    assert one(found, "ConfigMap", "-ingest")["data"]["INGEST_QUEUE_MAX"] == "1000000"
    assert {"name": "INGEST_RETENTION_DAYS", "value": "90"} in container(one(found, "Job"))["env"]


def test_every_name_begins_with_the_release() -> None:
    found = things("-f", str(CHART / "ci" / "everything.yaml"), "--set", "fullnameOverride=plant")
    assert {thing["metadata"]["name"].partition("-")[0] for thing in found} == {"plant"}
    (receivers,) = (thing for thing in workloads(found) if component(thing) == "receiver")
    assert labels(receivers)["app.kubernetes.io/instance"] == "plant"
    images = {each["image"] for thing in workloads(found) for each in containers(thing)}
    assert images == {"registry.example.com:5000/traksense-ingest:0.2.0"}


def test_the_dashboards_and_the_rules_are_those_of_deploy() -> None:
    found = things("-f", str(CHART / "ci" / "everything.yaml"))
    dashboards = sorted((CHART.parents[1] / "grafana" / "dashboards").glob("*.json"))
    shown = one(found, "ConfigMap", "-dashboard")["data"]
    assert {name: json.loads(text) for name, text in shown.items()} == {
        path.name: json.loads(path.read_text()) for path in dashboards
    }
    without = with_values({"monitoring.dashboard.enabled": True})
    assert list(one(without, "ConfigMap", "-dashboard")["data"]) == ["traksense-ingest.json"]
    rules = json.dumps(one(found, "PrometheusRule")["spec"])
    assert "externalLabels" not in rules
    assert "https://git.example.com/docs/operations.md#ingestreceiverdown" in rules


def test_where_the_number_changes_by_itself_fewer_is_no_alert() -> None:
    fixed = with_values({"monitoring.rules.enabled": True})
    scaled = with_values({"monitoring.rules.enabled": True, "writer.autoscaling.enabled": True})
    dropped = [rule for rule in rules_of(fixed) if rule not in rules_of(scaled)]
    assert [rule["annotations"]["summary"] for rule in dropped] == ["There were more writers"]


def rules_of(found: list[Thing]) -> list[dict[str, Any]]:
    return [rule for group in one(found, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]


def test_receivers_that_do_not_leave_are_never_scaled_down() -> None:
    found = with_values({"receiver.autoscaling.enabled": True, "receiver.leave.enabled": False})
    behavior = one(found, "HorizontalPodAutoscaler")["spec"]["behavior"]
    assert behavior["scaleDown"] == {"selectPolicy": "Disabled"}
    assert not [thing for thing in found if thing["kind"] in ("ServiceAccount", "Role", "RoleBinding")]


def test_without_prometheus_the_streams_are_added_up() -> None:
    scaled = one(things("-f", str(CHART / "ci" / "autoscaling-redis.yaml")), "ScaledObject")["spec"]
    triggers = scaled["triggers"]
    assert [each["metadata"]["stream"] for each in triggers] == [f"ingest:{{{shard}}}" for shard in range(4)]
    assert not any({"consumerGroup", "lagCount", "pendingEntriesCount"} & {*each["metadata"]} for each in triggers)
    modifiers = scaled["advanced"]["scalingModifiers"]
    assert re.split(r" \+ ", modifiers["formula"]) == [each["name"] for each in triggers]
    assert modifiers["target"] == triggers[0]["metadata"]["streamLength"] == "5000"


def test_a_user_of_the_platforms_choice() -> None:
    found = things("-f", str(CHART / "ci" / "least.yaml"))
    assert [name(thing) for thing in found if thing["kind"] in ("Job", "NetworkPolicy", "PodDisruptionBudget")] == []
    assert all(pod(thing)["securityContext"].keys() == {"runAsNonRoot", "seccompProfile"} for thing in workloads(found))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"config.variables.MQTT_SHARED_GROUP": ""}, "several receivers need config.variables.MQTT_SHARED_GROUP"),
        ({"writer.replicas": 16}, "16 writers, and one more for a rolling update, use up to 5 connections each"),
        (
            {"writer.autoscaling.enabled": True, "config.variables.INGEST_SHARDS": 4},
            "10 writers, and one more for a rolling update, use up to 8 connections each",
        ),
        (
            {"receiver.autoscaling.enabled": True, "receiver.terminationGracePeriodSeconds": 180},
            "scaleDownPeriodSeconds must be longer",
        ),
        ({"config.variables.MQTT_PASSWORD": "secret"}, "MQTT_PASSWORD"),
    ],
    ids=str,
)
def test_what_it_refuses(values: dict[str, Any], expected: str) -> None:
    assert expected in error(values)


def annotations_of(found: list[Thing], workload: str) -> dict[str, str]:
    (thing,) = (each for each in workloads(found) if component(each) == workload)
    given: dict[str, str] = thing["spec"]["template"]["metadata"]["annotations"]
    return given
