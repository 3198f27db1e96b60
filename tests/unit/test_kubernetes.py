"""deploy/kubernetes: valid by Kubernetes's own schemas, and only with variables that the configuration knows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.helm.render import CHART, DIGEST, DIRECTORY, OLDEST, committed, digests
from tests.support.compose import SERVICES, VERSION
from tests.support.handbook import DOCS
from tests.support.manifests import (
    CUSTOM,
    FILES,
    VALUES,
    Thing,
    component,
    config,
    container,
    containers,
    labels,
    name,
    objects,
    pod,
    workloads,
)
from tests.support.mapping_files import readings
from traksense_ingest.ops.cli import main
from traksense_ingest.shared.config import Settings, load
from traksense_ingest.shared.mapping.load import load as load_mappings
from traksense_ingest.shared.ports import CONSOLE
from traksense_ingest.shared.runtime.service import GRACE_S

PAGE = (DOCS / "kubernetes.md").read_text()
SECRETS = PAGE + (DOCS / "console.md").read_text()
VERSIONS = (OLDEST.removesuffix(".0"), "1.33", "1.37")

each_workload = pytest.mark.parametrize("workload", workloads(), ids=name)
each_service = pytest.mark.parametrize(
    "workload", [thing for thing in workloads() if component(thing) in ("receiver", "writer")], ids=name
)


@pytest.mark.parametrize("thing", [thing for thing in objects() if thing["kind"] not in CUSTOM], ids=name)
@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_what_kubernetes_takes(thing: Thing, version: str) -> None:
    assert kubernetes_validate.validate(thing, version, strict=True) == version


def test_the_manifests_are_those_of_this_chart() -> None:
    """Where there is helm, test_helm_chart.py compares them."""
    assert DIGEST.read_text() == digests(committed()), "run python -m deploy.helm.render"


def test_every_file_is_applied() -> None:
    files = {str(path.relative_to(DIRECTORY)) for path in FILES if path.parent.name != "examples"}
    folders = ("", "migrate", "console", "autoscaling", "monitoring")
    listed = [(folder, kustomization(folder)["resources"]) for folder in folders]
    assert {str(Path(folder, each)) for folder, resources in listed for each in resources} == files


def test_optional_parts_are_named_where_they_are_turned_on() -> None:
    text = (DIRECTORY / "kustomization.yaml").read_text()
    named = set(re.findall(r"^  (?:# )?- (\w+) #", text, re.MULTILINE))
    components = {path.parent.name for path in DIRECTORY.glob("*/kustomization.yaml")} - {"migrate"}
    assert components == named
    assert all(kustomization(each)["kind"] == "Component" for each in components)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_it(tmp_path: Path) -> None:
    everything = tmp_path / "kubernetes"
    shutil.copytree(DIRECTORY, everything)
    text = (everything / "kustomization.yaml").read_text()
    (everything / "kustomization.yaml").write_text(re.sub(r"^  # - ", "  - ", text, flags=re.MULTILINE))
    things = [*built(everything), *built(everything / "migrate")]
    made = {f"ConfigMap-traksense-{each}" for each in ("ingest", "mappings", "console")}
    given = {name(thing) for thing in objects() if thing["kind"] != "ExternalSecret"}
    assert {re.sub(r"(ConfigMap-.*)-[a-z0-9]{10}$", r"\1", name(thing)) for thing in things} == given | made
    assert {thing["metadata"].get("namespace", "traksense") for thing in things} == {"traksense"}
    images = {each["image"] for thing in workloads(things) for each in containers(thing)}
    assert images == {f"traksense-ingest:{VERSION}"}
    assert {component(thing) for thing in workloads(things) if "replicas" in thing["spec"]} == {"toolbox", "console"}
    digested = {thing["metadata"]["name"] for thing in things if thing["kind"] == "ConfigMap"}
    used = {reference for thing in workloads(things) for reference in config_maps(thing)}
    assert used == digested | {"kube-root-ca.crt"}
    (console,) = (thing for thing in workloads(things) if component(thing) == "console")
    shared, own = (each for each in config_maps(console) if "mappings" not in each)
    assert shared.startswith("traksense-ingest-")
    assert own.startswith("traksense-console-")


def test_every_variable_is_one_that_the_configuration_knows() -> None:
    given = {*config(), *re.findall(r"--from-literal=([A-Z_]+)=", SECRETS)}
    given |= {variable["name"] for each in workloads() for variable in container(each).get("env", ())}
    assert {"MQTT_CLIENT_ID", "DATABASE_URL", "REDIS_URL"} <= given
    own = {parameter.envvar for parameter in main.commands["console"].params}
    assert given <= {field.upper() for field in Settings.model_fields} | {"RECEIVERS", "WRITERS"} | own
    offered = re.findall(r"^#([A-Z_]+)=", (DIRECTORY / "console" / "console.env").read_text(), re.MULTILINE)
    assert {"CONSOLE_HOSTS", "CONSOLE_PREFIX", "CONSOLE_PROXIES"} == set(offered) <= own


def test_the_values_are_allowed_and_those_of_the_chart() -> None:
    given: dict[str, Any] = {variable.lower(): value for variable, value in config().items()}
    assert load(**given).mqtt_shared_group
    assert config() == VALUES["config"]["variables"]


def test_a_receiver_comes_back_with_its_client_id() -> None:
    (receivers,) = objects("StatefulSet")
    client_id = {"name": "MQTT_CLIENT_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert all(client_id in each["env"] for each in containers(receivers))
    assert receivers["spec"]["serviceName"] in {service["metadata"]["name"] for service in objects("Service")}


@each_service
def test_the_probes_ask_what_the_service_answers(workload: Thing) -> None:
    service = container(workload)
    assert service["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert service["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    port = {"receiver": 9101, "writer": 9100}[service["name"]]
    assert service["ports"] == [{"name": "metrics", "containerPort": port}]


@pytest.mark.parametrize("workload", [each for each in workloads() if component(each) != "migrate"], ids=name)
def test_mapping_files_are_in_each_container_that_reads_them(workload: Thing) -> None:
    """Where there is no such ConfigMap, the pod starts all the same."""
    (volume,) = (each for each in pod(workload)["volumes"] if each["name"] == "mappings")
    assert volume["configMap"] == {"name": "traksense-mappings", "optional": True}
    mount = {"name": "mappings", "mountPath": "/mappings", "readOnly": True}
    assert all(mount in each["volumeMounts"] for each in containers(workload))
    assert "`INGEST_MAPPINGS=/mappings/`" in PAGE


def test_a_folder_of_a_config_map_is_read_as_kubernetes_makes_it(tmp_path: Path) -> None:
    """Each file is a link into `..data`, which is a link to the folder of the last update."""
    versions = tmp_path / "..2026_11_28"
    versions.mkdir()
    (versions / "readings.yaml").write_text(readings())
    (tmp_path / "..data").symlink_to(versions.name)
    (tmp_path / "readings.yaml").symlink_to("..data/readings.yaml")
    assert load_mappings(f"{tmp_path}/").named == {"readings"}


@each_workload
def test_it_runs_a_command_that_there_is(workload: Thing) -> None:
    if component(workload) != "toolbox":
        program, command = container(workload)["command"]
        assert program == "traksense-ingest"
        assert command in main.commands


@each_service
def test_there_is_time_to_settle(workload: Thing) -> None:
    assert pod(workload)["terminationGracePeriodSeconds"] > 2 * GRACE_S


@each_workload
def test_a_pod_may_do_nothing_that_it_need_not(workload: Thing) -> None:
    assert pod(workload)["securityContext"]["runAsNonRoot"]
    assert pod(workload)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(workload)["automountServiceAccountToken"] is False
    for each in containers(workload):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    (namespace,) = objects("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_only_its_group_can_read_the_console_s_users() -> None:
    """Otherwise the console warns, and Kubernetes makes root the owner of the file."""
    (console,) = (thing for thing in workloads() if component(thing) == "console")
    (volume,) = (each for each in pod(console)["volumes"] if each["name"] == "users")
    assert volume["secret"]["defaultMode"] == 0o440
    assert pod(console)["securityContext"]["fsGroup"] == pod(console)["securityContext"]["runAsGroup"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container(console)["volumeMounts"]}
    (users,) = (each["value"] for each in container(console)["env"] if each["name"] == "CONSOLE_USERS")
    assert users == f"{mounted['users']}/users.txt"
    assert "--from-file=users.txt" in SECRETS


def test_the_probes_of_the_console_need_no_host_name() -> None:
    """test_console_guard.py asks with the address of a pod."""
    (console,) = (thing for thing in workloads() if component(thing) == "console")
    probes = [container(console)[probe]["httpGet"] for probe in ("readinessProbe", "livenessProbe")]
    assert probes == [{"path": "/healthz", "port": "console"}] * 2
    assert container(console)["ports"] == [{"name": "console", "containerPort": CONSOLE.default}]


@each_workload
def test_memory_is_as_in_compose(workload: Thing) -> None:
    """test_compose_limits.py has the arithmetic."""
    service = {"toolbox": "ops"}.get(component(workload), component(workload))
    limit = SERVICES[service]["mem_limit"].replace("m", "Mi").replace("g", "Gi")
    assert {each["resources"]["limits"]["memory"] for each in containers(workload)} == {limit}


def test_a_selector_finds_the_pods_of_one_workload() -> None:
    selectors = [thing["spec"]["selector"] for thing in objects("Service", "PodDisruptionBudget")]
    selectors += [thing["spec"]["selector"] for thing in workloads() if "selector" in thing["spec"]]
    selectors += [thing["spec"]["podSelector"] for thing in objects("NetworkPolicy")]
    found = [wanted.get("matchLabels", wanted) for wanted in selectors]
    assert len(found) == 3 + 2 + 4 + 5
    assert all(sum(wanted.items() <= labels(thing).items() for thing in workloads()) == 1 for wanted in found)


def test_every_secret_is_explained() -> None:
    wanted = {reference for thing in workloads() for reference in secrets(thing)}
    assert {"traksense-console", "traksense-console-users"} <= wanted
    assert wanted == set(re.findall(r"create secret generic (\S+) ", SECRETS))
    assert wanted == {thing["metadata"]["name"] for thing in objects("ExternalSecret")}


def test_versions_are_those_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    (image,) = kustomization("image")["images"]
    assert (chart["version"], chart["appVersion"], image["newTag"]) == (VERSION, VERSION, VERSION)
    assert chart["kubeVersion"] == f">={OLDEST}-0"


def kustomization(folder: str) -> Thing:
    found = yaml.safe_load((DIRECTORY / folder / "kustomization.yaml").read_text())
    assert isinstance(found, dict)
    return found


def built(folder: Path) -> list[Thing]:
    command = ["kubectl", "kustomize", str(folder)]
    return list(yaml.safe_load_all(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def secrets(workload: Thing) -> list[str]:
    references = [source for each in containers(workload) for source in each.get("envFrom", ())]
    mounted = [volume["secret"]["secretName"] for volume in pod(workload).get("volumes", ()) if "secret" in volume]
    return [each["secretRef"]["name"] for each in references if "secretRef" in each] + mounted


def config_maps(workload: Thing) -> list[str]:
    references = [source for each in containers(workload) for source in each.get("envFrom", ())]
    volumes = pod(workload).get("volumes", [])
    projected = [source for volume in volumes for source in volume.get("projected", {}).get("sources", ())]
    found = [each.get("configMapRef") or each.get("configMap") for each in (*references, *volumes, *projected)]
    return [each["name"] for each in found if each]
