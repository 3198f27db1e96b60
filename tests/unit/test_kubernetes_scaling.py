"""deploy/kubernetes: how many receivers and writers there are, and what Prometheus sees of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.helm.render import DIRECTORY
from tests.support.manifests import Thing, component, container, labels, objects, pod, workloads
from tests.support.prometheus import DEPLOY, RULES, catalogue, names_in, rules
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.ports import CONSOLE, RECEIVER_METRICS, WRITER_METRICS

SERVICES = {"receiver": RECEIVER_METRICS.default, "writer": WRITER_METRICS.default}
# Messages/s that come in, the backlog, whether a writer reaches the database: what the query says, None for nothing.
CASES = [(9000, 0, 1, 9000.0), (0, 60_000, 1, 1000.0), (9000, 60_000, 1, 10_000.0), (9000, 60_000, 0, None)]
IDENTITY = 'namespace="traksense"'


def only(kind: str) -> Thing:
    (found,) = objects(kind)
    return found


def trigger() -> dict[str, str]:
    (found,) = only("ScaledObject")["spec"]["triggers"]
    assert found["type"] == "prometheus"
    metadata: dict[str, str] = found["metadata"]
    return metadata


def test_the_query_asks_for_metrics_that_there_are() -> None:
    assert names_in(trigger()["query"]) == {"ingest_appended_messages_total", "ingest_queue_size", "ingest_connected"}
    assert names_in(trigger()["query"]) <= catalogue()
    assert 'component="database"' in trigger()["query"]
    registry = WriterMetrics().registry
    assert registry.get_sample_value("ingest_connected", {"component": "database"}) is not None


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed here")
@pytest.mark.parametrize(("rate", "backlog", "connected", "expected"), CASES)
def test_the_query_counts_what_comes_in_and_the_backlog_unless_the_database_is_down(
    tmp_path: Path, rate: int, backlog: int, connected: int, expected: float | None
) -> None:
    series = [
        {"series": f"ingest_appended_messages_total{{{IDENTITY}}}", "values": f"0+{rate * 15}x40"},
        {"series": f"ingest_queue_size{{{IDENTITY}}}", "values": f"{backlog}x40"},
        {"series": f'ingest_connected{{component="database",{IDENTITY}}}', "values": f"{connected}x40"},
        {"series": 'ingest_queue_size{namespace="another"}', "values": "1000000x40"},
    ]
    samples = [] if expected is None else [{"value": expected}]
    asked = {"expr": trigger()["query"], "eval_time": "10m", "exp_samples": samples}
    tests = {"tests": [{"interval": "15s", "input_series": series, "promql_expr_test": [asked]}]}
    (tmp_path / "query.yml").write_text(yaml.safe_dump(tests))
    command = ["promtool", "test", "rules", str(tmp_path / "query.yml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_result_changes_nothing() -> None:
    """With "true" it would be 0 messages/s: as few writers as possible, just after an outage."""
    assert trigger()["ignoreNullValues"] == "false"


def test_what_is_scaled_is_there() -> None:
    targets = {
        (each["spec"]["scaleTargetRef"]["kind"], each["spec"]["scaleTargetRef"]["name"])
        for each in objects("ScaledObject", "HorizontalPodAutoscaler")
    }
    services = [each for each in workloads() if component(each) in SERVICES]
    assert targets == {(each["kind"], each["metadata"]["name"]) for each in services}


def test_receivers_are_scaled_by_the_cpu_of_their_own_container() -> None:
    scaler, receivers = only("HorizontalPodAutoscaler")["spec"], only("StatefulSet")
    (metric,) = scaler["metrics"]
    assert metric["containerResource"]["container"] == container(receivers)["name"]
    assert metric["containerResource"]["target"]["type"] == "AverageValue"
    assert scaler["minReplicas"] == receivers["spec"]["replicas"] >= 2


def test_receivers_leave_one_after_another() -> None:
    behavior = only("HorizontalPodAutoscaler")["spec"]["behavior"]["scaleDown"]
    (policy,) = behavior["policies"]
    assert (policy["type"], policy["value"]) == ("Pods", 1)
    assert policy["periodSeconds"] > pod(only("StatefulSet"))["terminationGracePeriodSeconds"]
    assert "selectPolicy" not in behavior
    (sidecar,) = pod(only("StatefulSet"))["initContainers"]
    assert sidecar["restartPolicy"] == "Always"  # else it would have to end before the receiver starts


def test_the_sidecar_may_read_the_number_of_replicas_and_nothing_else() -> None:
    receivers, role, binding = only("StatefulSet"), only("Role"), only("RoleBinding")
    assert role["rules"] == [
        {
            "apiGroups": ["apps"],
            "resources": ["statefulsets/scale"],
            "resourceNames": [receivers["metadata"]["name"]],
            "verbs": ["get"],
        }
    ]
    account = pod(receivers)["serviceAccountName"]
    assert [each["name"] for each in binding["subjects"]] == [account] == [only("ServiceAccount")["metadata"]["name"]]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert "api" not in {mount["name"] for mount in container(receivers)["volumeMounts"]}  # it has no token
    (sidecar,) = pod(receivers)["initContainers"]
    given = {variable["name"]: variable.get("value") for variable in sidecar["env"]}
    assert given["STATEFULSET"] == receivers["metadata"]["name"]
    assert {"name": "api", "mountPath": sidecar["command"][-1], "readOnly": True} in sidecar["volumeMounts"]


def test_the_operator_scrapes_both_services_as_the_rules_expect() -> None:
    monitor = only("PodMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"]
    (expression,) = monitor["selector"]["matchExpressions"]
    found = [
        each
        for each in workloads()
        if wanted.items() <= labels(each).items() and labels(each).get(expression["key"]) in expression["values"]
    ]
    jobs = {labels(each)[monitor["jobLabel"]]: container(each)["ports"][0]["name"] for each in found}
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert jobs == dict.fromkeys(SERVICES, endpoint["port"])
    assert {job for rule in rules("alert") for job in re.findall(r'job="(\w+)"', rule["expr"])} == set(jobs)
    assert endpoint["relabelings"] == [
        {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"},
        {"regex": "pod|container|endpoint", "action": "labeldrop"},
    ]


def test_without_the_operator_prometheus_finds_the_services_by_their_names() -> None:
    jobs = yaml.safe_load((DIRECTORY / "monitoring" / "scrape.yml").read_text())["scrape_configs"]
    found = {job["job_name"]: (sd["names"], sd["port"]) for job in jobs for sd in job["dns_sd_configs"]}
    (namespace,) = objects("Namespace")
    domain = f"{namespace['metadata']['name']}.svc.cluster.local"
    services = {component(each): each for each in objects("Service")}
    assert found == {job: ([f"{services[job]['metadata']['name']}.{domain}"], port) for job, port in SERVICES.items()}
    assert all(services[job]["spec"]["publishNotReadyAddresses"] for job in SERVICES)
    assert {label["replacement"] for job in jobs for label in job["relabel_configs"]} == {namespace["metadata"]["name"]}


def test_the_rules_are_those_of_prometheus() -> None:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    text = yaml.safe_dump(groups).replace("{{ $externalLabels.docs }}", "docs")
    assert only("PrometheusRule")["spec"]["groups"] == yaml.safe_load(text)


def test_the_page_of_prometheus_leads_to_these() -> None:
    assert "deploy/kubernetes/monitoring" in (DEPLOY / "prometheus.yml").read_text()


@pytest.mark.parametrize("policy", objects("NetworkPolicy"), ids=component)
def test_a_pod_may_connect_to_what_it_needs(policy: Thing) -> None:
    needs = {
        "receiver": {53, 1883, 8883, 6379, 443, 6443},
        "writer": {53, 6379, 5432},
        "migrate": {53, 5432},
        "toolbox": {53, 1883, 8883, 6379, 5432, *SERVICES.values()},
        "console": {53, 1883, 8883, 6379, 5432},
    }
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert {each["port"] for rule in spec["egress"] for each in rule["ports"]} == needs[component(policy)]
    reachable = {each["port"] for rule in spec["ingress"] for each in rule["ports"]}
    assert reachable == {{**SERVICES, "console": CONSOLE.default}.get(component(policy))} - {None}
