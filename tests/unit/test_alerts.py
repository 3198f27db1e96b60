"""The rules of Prometheus: they ask for what there is, and each alert is explained and tested."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.prometheus import DEPLOY, RULES, catalogue, names_in, rule_tests, rules
from traksense_ingest.receiver.connection import SESSION_EXPIRY_S
from traksense_ingest.shared.metrics import OUTAGE_REASONS

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
GAUGES_OF_THE_STREAMS = (
    "ingest_queue_size",
    "ingest_longest_stream_size",
    "ingest_queue_max",
    "ingest_pending",
    "ingest_oldest_entry_age_seconds",
    "ingest_lost_entries",
    "ingest_receivers_gone",
)
ALERTS = [pytest.param(rule, id=f"{rule['alert']}-{rule['labels']['severity']}") for rule in rules("alert")]


def test_rules_ask_for_metrics_that_there_are() -> None:
    asked = {name for rule in (*rules("record"), *rules("alert")) for name in names_in(rule["expr"])}
    assert asked <= catalogue() | {rule["record"] for rule in rules("record")}
    assert {"ingest_queue_max", "ingest_connected", "ingest_transit_seconds_bucket"} <= asked


def test_what_is_recorded_is_named_level_metric_operations_and_used() -> None:
    recorded = {rule["record"] for rule in rules("record")}
    used = {name for rule in (*rules("record"), *rules("alert")) for name in names_in(rule["expr"])}
    assert all(re.fullmatch(r"pipeline\w*:ingest_\w+:\w+", name) for name in recorded)
    assert recorded <= used


def test_outages_are_no_dead_letters() -> None:
    (rule,) = (rule for rule in rules("record") if "ingest_errors_total" in rule["expr"])
    assert f'reason!~"{"|".join(OUTAGE_REASONS.values())}"' in rule["expr"]


def test_both_services_are_scraped_under_the_names_that_the_rules_know() -> None:
    jobs = {job["job_name"]: job for job in yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]}
    found = {
        name: [(each["names"], each["port"]) for each in job.get("dns_sd_configs", ())] for name, job in jobs.items()
    }
    assert found == {"receiver": [(["receiver"], 9101)], "writer": [(["writer"], 9100)], "prometheus": []}
    assert {job for rule in rules("alert") for job in re.findall(r'job="(\w+)"', rule["expr"])} == {
        "receiver",
        "writer",
    }


@pytest.mark.parametrize("gauge", GAUGES_OF_THE_STREAMS)
def test_what_each_process_sees_is_not_added_up(gauge: str) -> None:
    assert gauge in catalogue()
    assert not [rule for rule in rules("record") if re.search(rf"sum[^(]*\(\s*{gauge}\b", rule["expr"])]


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_says_how_bad_what_and_where_to_read_on(rule: dict[str, Any]) -> None:
    name, annotations = rule["alert"], rule["annotations"]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"] == "{{ $externalLabels.docs }}/operations.md#" + name.lower()


def test_the_documentation_says_how_the_runbook_is_reached() -> None:
    assert "docs" in yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["global"]["external_labels"]
    assert re.search(r"`runbook_url`.*\n?.*`docs` in `deploy/prometheus/prometheus\.yml`", OPERATIONS)


def test_each_alert_has_a_heading_and_each_heading_an_alert() -> None:
    section = re.split(r"^## ", OPERATIONS.partition("\n## Alerts\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    headings = re.findall(r"^### (\w+)$", section, re.MULTILINE)
    assert sorted(headings) == sorted({rule["alert"] for rule in rules("alert")})


def runbook(name: str) -> str:
    """What the page says of an alert."""
    return re.split(r"^##", OPERATIONS.partition(f"\n### {name}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_who_loses_a_receiver_learns_how_long_the_broker_waits_for_it() -> None:
    descriptions = [
        rule["annotations"]["description"] for rule in rules("alert") if rule["alert"] == "IngestReceiverDown"
    ]
    assert len(descriptions) == 3
    for text in (*descriptions, runbook("IngestReceiverDown")):
        assert "session_expiry_interval" in text
        assert "a day" in text
    assert SESSION_EXPIRY_S == 86_400
    assert "session_expiry_interval" in (DEPLOY.parent / "emqx" / "base.hocon").read_text()
    assert "SESSION_EXPIRY_S" in runbook("IngestReceiverDown")


@pytest.mark.parametrize("job", ["receiver", "writer"])
def test_one_of_several_that_leaves_the_dns_is_missed(job: str) -> None:
    """And a scale-down on purpose is explained: both are the same to Prometheus."""
    counted = [rule for rule in rules("alert") if f'count(up{{job="{job}"}})' in rule["expr"]]
    assert [(rule["labels"]["job"], rule["labels"]["severity"]) for rule in counted] == [(job, "warning")]
    assert f"*{counted[0]['annotations']['summary']}*" in runbook(counted[0]["alert"])


def test_each_alert_fires_and_does_not_in_the_tests_for_promtool() -> None:
    fires = {
        (case["alertname"], alert["exp_labels"]["severity"]) for case in rule_tests() for alert in case["exp_alerts"]
    }
    quiet = {case["alertname"] for case in rule_tests() if not case["exp_alerts"]}
    assert fires == {(rule["alert"], rule["labels"]["severity"]) for rule in rules("alert")}
    assert quiet == {rule["alert"] for rule in rules("alert")}


def test_an_alert_sees_what_its_own_group_recorded_in_the_same_moment() -> None:
    """Groups are evaluated one beside the other: what is recorded in another one may be of the moment before."""
    for path in RULES:
        kinds = re.findall(r"^      - (alert|record):", path.read_text(), re.MULTILINE)
        assert kinds == sorted(kinds, reverse=True), path
