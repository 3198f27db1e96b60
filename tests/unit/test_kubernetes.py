"""deploy/kubernetes: valid by Kubernetes's own schemas, and only with variables that the configuration knows."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.mapping_files import readings
from traksense_ingest.ops.cli import main
from traksense_ingest.shared.config import Settings, load
from traksense_ingest.shared.mapping.load import load as load_mappings
from traksense_ingest.shared.runtime.service import GRACE_S

DIRECTORY = Path(__file__).parents[2] / "deploy" / "kubernetes"
OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
OLDEST, NEWEST = "1.27", "1.33"  # unhealthyPodEvictionPolicy is on by default since 1.27
VERSION = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
FILES = sorted(path for path in DIRECTORY.glob("*.yaml") if path.name != "kustomization.yaml")


def objects(kind: str = "") -> list[dict[str, Any]]:
    found = [thing for path in FILES for thing in yaml.safe_load_all(path.read_text())]
    return [thing for thing in found if kind in ("", thing["kind"])]


def workloads() -> list[dict[str, Any]]:
    return [thing for thing in objects() if "template" in thing.get("spec", {})]


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod(workload)["containers"]
    assert isinstance(found, dict)
    return found


def name(thing: dict[str, Any]) -> str:
    return f"{thing['kind']}-{thing['metadata']['name']}"


each_workload = pytest.mark.parametrize("workload", workloads(), ids=name)
each_service = pytest.mark.parametrize("workload", [*objects("StatefulSet"), *objects("Deployment")], ids=name)


@pytest.mark.parametrize("thing", objects(), ids=name)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_it_is_what_kubernetes_takes(thing: dict[str, Any], version: str) -> None:
    assert kubernetes_validate.validate(thing, version, strict=True) == version


def test_every_file_is_applied() -> None:
    listed = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == [path.name for path in FILES]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_it() -> None:
    command = ["kubectl", "kustomize", str(DIRECTORY)]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    things = list(yaml.safe_load_all(built))
    assert len(things) == len(objects())
    assert {thing["metadata"].get("namespace", "traksense") for thing in things} == {"traksense"}
    assert {container(thing)["image"] for thing in things if "template" in thing.get("spec", {})} == {
        f"traksense-ingest:{VERSION}"
    }


def test_every_variable_is_one_that_the_configuration_knows() -> None:
    (config,) = objects("ConfigMap")
    given = {*config["data"], *re.findall(r"--from-literal=(\w+)=", OPERATIONS)}
    given |= {variable["name"] for workload in workloads() for variable in container(workload).get("env", ())}
    assert {"MQTT_CLIENT_ID", "DATABASE_URL", "REDIS_URL"} <= given
    assert given <= {field.upper() for field in Settings.model_fields}


def test_the_values_are_allowed() -> None:
    (config,) = objects("ConfigMap")
    given: dict[str, Any] = {variable.lower(): value for variable, value in config["data"].items()}
    assert load(**given).mqtt_shared_group


def test_a_receiver_comes_back_with_its_client_id() -> None:
    (receivers,) = objects("StatefulSet")
    client_id = {"name": "MQTT_CLIENT_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert client_id in container(receivers)["env"]
    assert receivers["spec"]["serviceName"] in {service["metadata"]["name"] for service in objects("Service")}


@each_service
def test_the_probes_ask_what_the_service_answers(workload: dict[str, Any]) -> None:
    service = container(workload)
    assert service["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert service["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    port = {"receiver": 9100, "writer": 9101}[service["name"]]
    assert service["ports"] == [{"name": "metrics", "containerPort": port}]


@each_service
def test_mapping_files_come_from_a_config_map_that_the_page_creates(workload: dict[str, Any]) -> None:
    """Where there is none, the pod starts all the same."""
    (volume,), (mount,) = pod(workload)["volumes"], container(workload)["volumeMounts"]
    assert volume["configMap"] == {"name": "traksense-mappings", "optional": True}
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    commands = re.findall(r"create configmap (\S+) --from-file=", OPERATIONS)
    assert set(commands) == {volume["configMap"]["name"]}
    assert f"`INGEST_MAPPINGS: khomp,{mount['mountPath']}/`" in OPERATIONS


def test_a_folder_of_a_config_map_is_read_as_kubernetes_makes_it(tmp_path: Path) -> None:
    """Each file is a link into `..data`, which is a link to the folder of the last update."""
    versions = tmp_path / "..2026_11_28"
    versions.mkdir()
    (versions / "readings.yaml").write_text(readings())
    (tmp_path / "..data").symlink_to(versions.name)
    (tmp_path / "readings.yaml").symlink_to("..data/readings.yaml")
    assert load_mappings(f"{tmp_path}/").named == {"readings"}


@each_workload
def test_it_runs_a_command_that_there_is(workload: dict[str, Any]) -> None:
    program, command = container(workload)["command"]
    assert program == "traksense-ingest"
    assert command in main.commands


@each_service
def test_there_is_time_to_settle(workload: dict[str, Any]) -> None:
    assert pod(workload)["terminationGracePeriodSeconds"] > 2 * GRACE_S


@each_workload
def test_a_pod_may_do_nothing_that_it_need_not(workload: dict[str, Any]) -> None:
    assert pod(workload)["securityContext"]["runAsNonRoot"]
    assert pod(workload)["automountServiceAccountToken"] is False
    assert container(workload)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(workload)["resources"]["limits"]["memory"]


@pytest.mark.parametrize("thing", [*objects("Service"), *objects("PodDisruptionBudget")], ids=name)
def test_a_selector_finds_the_pods_of_one_workload(thing: dict[str, Any]) -> None:
    labels = [workload["spec"]["template"]["metadata"]["labels"] for workload in workloads()]
    wanted = thing["spec"]["selector"]
    assert sum(wanted.get("matchLabels", wanted).items() <= found.items() for found in labels) == 1


def test_every_secret_is_explained() -> None:
    manifests = "\n".join(path.read_text() for path in FILES)
    wanted = set(re.findall(r"secret(?:Key)?Ref: \{name: ([\w-]+)", manifests))
    assert wanted == set(re.findall(r"create secret generic (\S+) ", OPERATIONS))
